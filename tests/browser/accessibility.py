"""What axe-core finds wrong with a page for people who use assistive technology."""

from importlib.resources import files

from playwright.sync_api import Page

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
SEVERE = ("serious", "critical")


def severe_findings(page: Page) -> list[str]:
    """Serious and critical findings: the rule, what it wants, and the elements."""
    page.evaluate(AXE)  # through the debugger, which the page's policy does not concern
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{found['id']} ({found['impact']}): {found['help']}\n"
        + "\n".join(f"  {node['html']}\n  {node['failureSummary']}" for node in found["nodes"])
        for found in result["violations"]
        if found["impact"] in SEVERE
    ]

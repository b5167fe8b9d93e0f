"""The policy of the page: nothing from elsewhere, no inline script, and what the headers say."""

import httpx

from tests.browser.playground import Playground
from tests.browser.stage import Stage

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}

ELSEWHERE = "http://elsewhere.example/"

INJECTED = {
    "inline script": """
        const script = document.createElement('script')
        script.textContent = 'window.ran = true'
        document.body.append(script)
    """,
    "handler in markup": """
        const holder = document.createElement('div')
        holder.innerHTML = '<img src="data:," onerror="window.ran = true">'
        document.body.append(holder)
    """,
    "script of another host": """
        const script = document.createElement('script')
        script.src = 'ELSEWHERE'
        document.body.append(script)
    """,
    "inline style": """
        const style = document.createElement('style')
        style.textContent = 'body { color: rgb(1, 2, 3) !important }'
        document.body.append(style)
    """,
}


def test_the_header_forbids_all_that_the_page_does_not_need(stage: Stage) -> None:
    headers = httpx.get(f"{stage.url}/").headers
    parts = [part.split(maxsplit=1) for part in headers["content-security-policy"].split(";")]
    assert dict(part for part in parts if part) == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_what_is_injected_is_stopped(playground: Playground) -> None:
    """Each kind is reported as a violation, and none of them has an effect."""
    page = playground.page
    playground.watch.expected.append("Content Security Policy")
    playground.watch.expected_hosts.append(ELSEWHERE)
    page.evaluate(
        """() => {
            window.stopped = []
            document.addEventListener('securitypolicyviolation', found =>
                window.stopped.push(found.effectiveDirective))
        }"""
    )
    for number, code in enumerate(INJECTED.values(), start=1):
        page.evaluate(f"() => {{ {code} }}".replace("ELSEWHERE", ELSEWHERE))
        page.wait_for_function(f"() => window.stopped.length === {number}")
    assert page.evaluate("window.ran") is None
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(1, 2, 3)"


def test_code_in_a_text_cannot_be_evaluated(playground: Playground) -> None:
    playground.watch.expected.append("Content Security Policy")
    script = "() => new Promise(done => setTimeout(() => { try { done(Function('return 1')()) }"
    script += " catch (error) { done(error.name) } }))"
    assert playground.page.evaluate(script) == "EvalError"

"""Each query of alerts and dashboard asks for what the server really exposes."""

import re
from typing import Any

import pytest

from tests.docker.monitoring_files import Query, all_queries
from tests.docker.real_metrics import StoredSample, stored_samples

promql: Any = pytest.importorskip("promql_parser", reason="needs qstar[deployment-test]")

OF_COUNTERS = {"rate", "increase", "changes"}
OF_GAUGES = {"avg_over_time", "min_over_time", "max_over_time", "changes"}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[StoredSample]:
    return stored_samples(tmp_path_factory.mktemp("toy") / "checkpoint")


def nodes(expr: str) -> list[Any]:
    """All nodes of a query's syntax tree."""
    found: list[Any] = []
    promql.walk(promql.parse(expr), found.append)
    return found


def selectors(expr: str) -> list[Any]:
    return [node for node in nodes(expr) if isinstance(node, promql.VectorSelector)]


def alternatives(matcher: Any) -> list[str]:
    """What a matcher accepts, as regular expressions; each of them has to exist."""
    if matcher.op == promql.MatchOp.Equal:
        return [re.escape(matcher.value)]
    return matcher.value.split("|") if matcher.op == promql.MatchOp.Re else [".*"]


def named(samples: list[StoredSample], name: str | None) -> list[StoredSample]:
    return [sample for sample in samples if sample.name == name]


def problems(query: Query, samples: list[StoredSample]) -> list[str]:
    """What the query asks for and the server does not expose."""
    found = []
    for selector in selectors(query.expr):
        known = named(samples, selector.name)
        if not known:
            found.append(f"{selector.name} does not exist")
        for matcher in selector.matchers.matchers if known else ():
            name = matcher.name
            values = [sample.labels[name] for sample in known if name in sample.labels]
            found += [
                f"{selector.name} has no {name} like {each}, only {values}"
                for each in alternatives(matcher)
                if not any(re.fullmatch(each, value) for value in values)
            ]
    return found


def misused_kinds(expr: str, kinds: dict[str, str]) -> list[str]:
    """Counters that are read without `rate`, and gauges that are read with it."""
    found = []
    in_calls = set()
    for call in [node for node in nodes(expr) if isinstance(node, promql.Call)]:
        for matrix in [arg for arg in call.args if isinstance(arg, promql.MatrixSelector)]:
            name = str(matrix.vector_selector.name)
            in_calls.add(name)
            allowed = OF_GAUGES if kinds.get(name) == "gauge" else OF_COUNTERS
            if call.func.name not in allowed:
                found.append(f"{call.func.name} of the {kinds.get(name)} {name}")
    found += [
        f"{selector.name} without rate"
        for selector in selectors(expr)
        if selector.name not in in_calls and kinds.get(str(selector.name)) != "gauge"
    ]
    return found


def test_queries_name_what_exists(samples: list[StoredSample]) -> None:
    found = {query: problems(query, samples) for query in all_queries()}
    assert not {query: each for query, each in found.items() if each}


@pytest.mark.parametrize(
    "expr",
    [
        "qstar:no_such_metric",
        'rate(qstar:request_success_total{finished_reason="eos"}[5m])',
        'rate(qstar:admission_rejections_total{reason=~"queue_full|full"}[5m])',
        'qstar:num_lanes{no_such_label!=""}',
    ],
)
def test_a_wrong_query_is_found(expr: str, samples: list[StoredSample]) -> None:
    """Or the test above could not fail."""
    assert len(problems(Query("test", expr), samples)) == 1


def test_counters_are_read_as_rates(samples: list[StoredSample]) -> None:
    kinds = {sample.name: sample.kind for sample in samples}
    found = {query: misused_kinds(query.expr, kinds) for query in all_queries()}
    assert not {query: each for query, each in found.items() if each}
    assert misused_kinds("qstar:thought_tokens_total", kinds)
    assert misused_kinds("rate(qstar:num_lanes[5m])", kinds)


def test_quantiles_are_of_buckets() -> None:
    num_quantiles = 0
    for query in all_queries():
        for call in nodes(query.expr):
            if not isinstance(call, promql.Call) or call.func.name != "histogram_quantile":
                continue
            num_quantiles += 1
            summed = call.args[1]
            assert isinstance(summed, promql.AggregateExpr), query
            assert summed.modifier is not None
            assert "le" in summed.modifier.labels, query
            assert all(str(each.name).endswith("_bucket") for each in selectors(summed.prettify()))
    assert num_quantiles > 10


def test_labels_of_groups_and_legends_exist(samples: list[StoredSample]) -> None:
    for query in all_queries():
        groups = [node for node in nodes(query.expr) if isinstance(node, promql.AggregateExpr)]
        for group in groups:
            grouped_by = set(group.modifier.labels) if group.modifier is not None else set()
            for selector in selectors(group.prettify()):
                labels = set(named(samples, selector.name)[0].labels)
                assert grouped_by <= labels, query
        in_legend = set(re.findall(r"{{(\w+)}}", query.legend))
        kept = set(groups[0].modifier.labels) if groups and groups[0].modifier else set()
        for selector in selectors(query.expr):
            known = [set(sample.labels) for sample in named(samples, selector.name)]
            have = kept if groups else set().union(*known)
            assert in_legend <= have, query

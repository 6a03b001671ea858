"""What a run found, as a value: figures with intervals, by system and protocol; as JSON, as a table in text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from reco_stream.evaluation.log import Logged
from reco_stream.evaluation.metrics import PER_QUERY, Answers, Figure, bootstrap, by_context_length, gini, novelty
from reco_stream.evaluation.time_travel import Plan

LABELS = {
    "hr": "HR",
    "mrr": "MRR",
    "ndcg": "NDCG",
    "precision": "prec",
    "recall": "recall",
}


@dataclass(frozen=True, slots=True)
class SystemReport:
    """Figures of one system under one protocol. Latencies are wall-clock microseconds a query on this machine."""

    system: str
    protocol: str
    queries: int
    figures: Mapping[str, Figure]
    coverage: float
    gini: float
    novelty_bits: float
    hr_by_length: Mapping[str, tuple[int, float]]
    mrr_by_length: Mapping[str, tuple[int, float]]
    micros_p50: float
    micros_p99: float
    micros_mean: float


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run: what was evaluated, how, and the figures, best MRR last in each protocol."""

    title: str
    events: int
    items: int
    test_events: int
    k: int
    visibility: str
    sample: float
    systems: Sequence[SystemReport]
    weights: Mapping[str, Mapping[str, float]]

    def of(self, protocol: str) -> list[SystemReport]:
        """Return the reports of one protocol."""
        return [system for system in self.systems if system.protocol == protocol]

    def json(self) -> str:
        """Return the report as indented JSON."""
        return json.dumps(asdict(self), indent=2)


def summarise(
    title: str,
    events: Sequence[Logged],
    plan: Plan,
    answers: Mapping[str, Mapping[str, Answers]],
    weights: Mapping[str, Mapping[str, float]],
) -> Report:
    """Return the report of what a run answered."""
    counted = Counter(event.item for event in events)
    systems = [
        _system(name, protocol, found, counted, plan.k)
        for protocol, by_system in answers.items()
        for name, found in by_system.items()
    ]
    return Report(
        title,
        len(events),
        len(counted),
        len(events) - plan.test_from,
        plan.k,
        plan.visibility,
        plan.sample,
        systems,
        weights,
    )


def _system(name: str, protocol: str, found: Answers, counted: Counter[str], k: int) -> SystemReport:
    columns = found.per_query(k)
    micros = np.array(found.micros or [0.0])
    shown = np.zeros(len(counted))
    shown[: len(found.shown)] = list(found.shown.values())[: len(counted)]
    return SystemReport(
        name,
        protocol,
        len(found.ranks),
        bootstrap(columns, np.array(found.sessions, np.int64)),
        len(found.shown) / max(1, len(counted)),
        gini(shown),
        novelty(found.shown, counted),
        by_context_length(columns["hr"], found.lengths),
        by_context_length(columns["mrr"], found.lengths),
        float(np.percentile(micros, 50)),
        float(np.percentile(micros, 99)),
        float(micros.mean()),
    )


def table(report: Report) -> str:
    """Return the report as text: one line a system, figures at k with their 95 % intervals."""
    lines = [
        f"{report.title}: {report.events:,} events, {report.items:,} items, {report.test_events:,} test events, "
        f"index {report.visibility}" + (f", sample {report.sample:g}" if report.sample < 1 else "")
    ]
    for protocol, words in (("unseen", "unseen only"), ("repeats", "repeats allowed")):
        systems = report.of(protocol)
        if not systems:
            continue
        lines += ["", f"{words}, {systems[0].queries:,} queries, @{report.k}"]
        head = f"{'system':<14} {'HR':>5} {'95 %':^11} {'MRR':>6} {'95 %':^11} " + " ".join(
            f"{LABELS[name]:>6}" for name in PER_QUERY[2:]
        )
        lines.append(head + f" {'cover':>6} {'gini':>5} {'bits':>5} {'p50 us':>7} {'p99 us':>7}")
        lines += [_line(system) for system in systems]
    if report.weights:
        lines.append("")
        for scenario, weights in report.weights.items():
            lines.append(
                f"weights {scenario}: " + " ".join(f"{name} {weight:+.2f}" for name, weight in weights.items())
            )
    return "\n".join(lines)


def _line(system: SystemReport) -> str:
    hr, mrr = system.figures["hr"], system.figures["mrr"]
    others = " ".join(f"{system.figures[name].mean:6.4f}" for name in PER_QUERY[2:])
    return (
        f"{system.system:<14} {hr.mean:5.4f} {hr.low:5.4f}-{hr.high:5.4f} "
        f"{mrr.mean:6.4f} {mrr.low:5.4f}-{mrr.high:5.4f} {others} {system.coverage:6.3f} {system.gini:5.3f} "
        f"{system.novelty_bits:5.2f} {system.micros_p50:7.0f} {system.micros_p99:7.0f}"
    )

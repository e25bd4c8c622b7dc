"""What Prometheus scrapes: requests as they are answered, the state of the service as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rankers.serve.engine.service import Service, Stats

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TOLD: dict[str, tuple[str, str]] = {
    "queued_jobs": ("gauge", "Queries waiting"),
    "queued_tokens": ("gauge", "Estimated tokens of the queries waiting"),
    "running_jobs": ("gauge", "Queries being ranked"),
    "engine_batches": ("counter", "Calls of the engine"),
    "engine_questions": ("counter", "Questions in those calls"),
    "engine_restarts": ("counter", "Times that the engine was lost and started again"),
    "cache_hits": ("counter", "Document embeddings found in memory"),
    "cache_misses": ("counter", "Document embeddings computed"),
    "cache_bytes": ("gauge", "Memory of the document embeddings"),
}
"""Field of ``Stats`` -> kind and help text."""


class ServerMetrics:
    """The numbers of one application."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(ServiceCollector(service))
        self._requests = Counter(
            "rlpost_requests", "Requests answered", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "rlpost_request_seconds",
            "From the head of a request to the end of its answer",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._documents = Counter(
            "rlpost_documents", "Documents ranked", ["model"], registry=self.registry
        )
        self._degraded = Counter(
            "rlpost_degraded",
            "Rankings that are in part the order of the input",
            ["model"],
            registry=self.registry,
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request; ``route`` is its pattern, never what the client wrote."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def ranked(self, model: str, documents: int, *, degraded: bool) -> None:
        """Count a ranking."""
        self._documents.labels(model).inc(documents)
        if degraded:
            self._degraded.labels(model).inc()

    def page(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)


class ServiceCollector(Collector):
    """Asks the service for its numbers when they are scraped."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        stats = self._service.stats()
        yield GaugeMetricFamily(
            "rlpost_ready", "Whether all models are loaded", float(self._service.ready)
        )
        for field in fields(Stats):
            if field.name in TOLD:
                kind, told = TOLD[field.name]
                family = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
                yield family(f"rlpost_{field.name}", told, getattr(stats, field.name))
        versions = GaugeMetricFamily("rlpost_version", "Of a model's adapter", labels=["model"])
        for model, version in stats.versions.items():
            versions.add_metric([model], version)
        yield versions

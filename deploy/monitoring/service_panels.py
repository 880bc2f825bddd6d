"""Services: by rate, errors and duration, and what they use by utilisation, saturation and errors.

RED: Wilkie, "The RED Method" (2018). USE: Gregg, "Thinking Methodically about Performance", ACM Queue 10(12), 2012.
"""

from __future__ import annotations

from deploy.monitoring.panels import Panel, Query, Row

ASKED = 'route!~"/health.*|/metrics", service=~"$service"'
OF_SERVICE = 'service=~"$service"'


def _of(record: str) -> str:
    return f"{record}{{{OF_SERVICE}}}"


def _quantile(level: float, by: str = "service") -> str:
    rate = f"rate(fintech_http_request_seconds_bucket{{{ASKED}}}[$__rate_interval])"
    return f"histogram_quantile({level:g}, sum by ({by}, le) ({rate}))"


LEVELS = Row(
    "Service levels",
    (
        Panel(
            "95 % of requests within",
            (Query(_of("service:fintech_http_request_seconds:p95_5m"), "{{service}}"),),
            "s",
            "The target is 0.2 s.",
            "stat",
            0.2,
            height=5,
        ),
        Panel(
            "Requests that fail",
            (Query(_of("service:fintech_http_errors:ratio_rate1h"), "{{service}}"),),
            "percentunit",
            "Of an hour; the target is 0.1 %.",
            "stat",
            0.001,
            height=5,
        ),
        Panel(
            "Up in 30 days",
            (Query(_of("service:fintech_up:ratio_30d"), "{{service}}"),),
            "percentunit",
            "The target is 99.9 %.",
            "stat",
            0.999,
            is_good_above=True,
            height=5,
        ),
    ),
)

RED = Row(
    "Rate, errors, duration",
    (
        Panel(
            "Requests",
            (Query(_of("service:fintech_http_requests:rate5m"), "{{service}}"),),
            "reqps",
            "Without probes and scrapes.",
        ),
        Panel(
            "Errors by status",
            (
                Query(
                    "sum by (service, status) (rate(fintech_http_requests_total"
                    f'{{{ASKED}, status=~"[45].."}}[$__rate_interval]))',
                    "{{service}} {{status}}",
                ),
            ),
            "reqps",
            "4xx are the caller's, 5xx the platform's.",
        ),
        Panel(
            "Duration",
            tuple(Query(_quantile(level), f"{{{{service}}}} p{level * 100:g}") for level in (0.5, 0.95, 0.99)),
            "s",
            "Until the answer was sent.",
            bad_from=0.2,
        ),
        Panel(
            "Share within 200 ms",
            (Query(_of("service:fintech_http_fast:ratio_rate5m"), "{{service}}"),),
            "percentunit",
            "Counted, not estimated: 0.2 s is a bound of the histogram.",
            bad_from=0.95,
            is_good_above=True,
        ),
        Panel(
            "Slowest routes",
            (Query(f"topk(10, {_quantile(0.95, 'service, route')})", "{{service}} {{route}}"),),
            "s",
            "95 % of their requests are answered within.",
            bad_from=0.2,
        ),
        Panel(
            "Busiest routes",
            (
                Query(
                    "topk(10, sum by (service, route)"
                    f" (rate(fintech_http_requests_total{{{ASKED}}}[$__rate_interval])))",
                    "{{service}} {{route}}",
                ),
            ),
            "reqps",
            "By the service that answered; the gateway counts what it forwards.",
        ),
    ),
)

USE = Row(
    "Utilisation, saturation, errors",
    (
        Panel(
            "Processor",
            (
                Query(
                    f"sum by (service) (rate(process_cpu_seconds_total{{{OF_SERVICE}}}[$__rate_interval]))",
                    "{{service}}",
                ),
            ),
            "short",
            "Cores in use.",
        ),
        Panel(
            "Memory",
            (Query(f"sum by (service) (process_resident_memory_bytes{{{OF_SERVICE}}})", "{{service}}"),),
            "bytes",
            "Resident, of all processes.",
        ),
        Panel(
            "File descriptors",
            (
                Query(
                    f"max by (service) (process_open_fds{{{OF_SERVICE}}} / process_max_fds{{{OF_SERVICE}}})",
                    "{{service}}",
                ),
            ),
            "percentunit",
            "Open, of those that a process may open.",
            bad_from=0.8,
        ),
        Panel(
            "Connections to Postgres",
            (
                Query(
                    f"max by (service, pool) (fintech_pool_used_connections{{{OF_SERVICE}}}"
                    f" / fintech_pool_max_connections{{{OF_SERVICE}}})",
                    "{{service}} {{pool}}",
                ),
            ),
            "percentunit",
            "In use, of those that a pool may open.",
            bad_from=1.0,
        ),
        Panel(
            "Waiting for a connection",
            (
                Query(
                    f"sum by (service, pool) (fintech_pool_waiting_requests{{{OF_SERVICE}}})",
                    "{{service}} {{pool}} wait",
                ),
                Query(
                    f"sum by (service, pool) (increase(fintech_pool_refusals_total{{{OF_SERVICE}}}[5m]))",
                    "{{service}} {{pool}} refused in 5 min",
                ),
            ),
            "short",
            "Requests that wait, and that waited in vain.",
        ),
        Panel(
            "Answers from the cache",
            (
                Query(
                    "sum by (service) (rate(fintech_cache_results_total"
                    f'{{{OF_SERVICE}, result=~"hit|shared|joined"}}[$__rate_interval]))'
                    f" / sum by (service) (rate(fintech_cache_results_total{{{OF_SERVICE}}}[$__rate_interval]))",
                    "{{service}}",
                ),
            ),
            "percentunit",
            "Of reading requests.",
        ),
        Panel(
            "Open circuits",
            (
                Query(
                    f'max by (service, upstream) (fintech_upstream_circuit{{{OF_SERVICE}, state="open"}})',
                    "{{service}} to {{upstream}}",
                ),
            ),
            "bool_yes_no",
            "Services that are left alone.",
            bad_from=1.0,
        ),
        Panel(
            "Postgres answers",
            (Query(f"min by (service) (fintech_postgres_up{{{OF_SERVICE}}})", "{{service}}"),),
            "bool_yes_no",
            "As each service sees it.",
            bad_from=1.0,
            is_good_above=True,
        ),
        Panel(
            "Redis answers",
            (Query(f"min by (service) (fintech_cache_shared_up{{{OF_SERVICE}}})", "{{service}}"),),
            "bool_yes_no",
            "As each service sees it; services without REDIS_URL are not shown.",
            bad_from=1.0,
            is_good_above=True,
        ),
    ),
)

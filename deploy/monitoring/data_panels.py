"""The data and the runs that make it: what is stale, failed, held back or late."""

from __future__ import annotations

from deploy.monitoring.panels import Panel, Query, Row

HEALTH = Row(
    "Now",
    (
        Panel(
            "Stale assets",
            (Query("sum(max by (asset) (fintech_asset_stale))", "assets"),),
            "short",
            "Not written by 21:00 New York on the last weekday.",
            "stat",
            1,
            width=6,
            height=5,
        ),
        Panel(
            "Failed partitions",
            (Query("sum(max by (asset) (fintech_failed_partitions))", "partitions"),),
            "short",
            "Left undone by failed runs, and not done since.",
            "stat",
            1,
            width=6,
            height=5,
        ),
        Panel(
            "Rows that wait for a decision",
            (Query("sum(provider:fintech_quarantined_rows:held)", "rows"),),
            "short",
            "Held in quarantine, of all sources.",
            "stat",
            width=6,
            height=5,
        ),
        Panel(
            "Assets that were never written",
            (Query("max(fintech_assets_never_written)", "assets"),),
            "short",
            "Of the regular ones.",
            "stat",
            1,
            width=6,
            height=5,
        ),
    ),
)

ASSETS = Row(
    "Assets",
    (
        Panel(
            "Age of the newest write",
            (Query("sort_desc(asset:fintech_last_write_age:seconds)", "{{asset}}"),),
            "s",
            "A weekday's write is a day old at most, Friday's three by Monday evening.",
            "bargauge",
            4 * 86_400,
            width=12,
            height=12,
        ),
        Panel(
            "Failed partitions",
            (Query("max by (asset) (fintech_failed_partitions) > 0", "{{asset}}"),),
            "short",
            "By asset.",
            width=12,
            height=12,
        ),
    ),
)

QUARANTINE = Row(
    "Quarantine",
    (
        Panel(
            "Rows by source",
            (Query("max by (provider, state) (fintech_quarantined_rows)", "{{provider}} {{state}}"),),
            "short",
            "What rules refused, and what people decided of it.",
            width=12,
        ),
        Panel(
            "Growth in a day",
            (
                Query(
                    "provider:fintech_quarantined_rows:held - provider:fintech_quarantined_rows:held offset 1d",
                    "{{provider}}",
                ),
            ),
            "short",
            "Rows that wait more than a day ago.",
            bad_from=20,
            width=12,
        ),
    ),
)

RUNNING = Row(
    "Runs",
    (
        Panel(
            "Age of the last successful run",
            (Query("schedule:fintech_last_success_age:seconds", "{{schedule}}"),),
            "s",
            "Of each schedule.",
            "stat",
            4 * 86_400,
            height=6,
        ),
        Panel(
            "Age of the last tick",
            (Query("time() - max by (sensor) (fintech_sensor_last_tick_timestamp_seconds)", "{{sensor}}"),),
            "s",
            "Of the sensors that watch runs and data; they tick every minute.",
            "stat",
            600,
            height=6,
        ),
        Panel(
            "Undelivered messages",
            (Query("max(fintech_alerts_undelivered)", "messages"),),
            "short",
            "That the receiver of alerts was offered in vain.",
            "stat",
            1,
            height=6,
        ),
        Panel(
            "Open incidents",
            (Query("max by (kind) (fintech_incidents_open)", "{{kind}}"),),
            "short",
            "Failed runs of which something is undone, and stale assets.",
            width=12,
        ),
        Panel(
            "Alerts that fire",
            (Query('sum by (alertname, severity) (ALERTS{alertstate="firing"})', "{{alertname}} {{severity}}"),),
            "short",
            "Of all rules.",
            width=12,
        ),
    ),
)

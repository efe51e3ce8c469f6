"""What Prometheus sees on a calm day, and on the day that each alert is for.

Series are in promtool's notation, one sample a minute: `0+60x300` starts at 0 and grows by 60 three hundred times.
"""

from dataclasses import dataclass

Series = dict[str, str | None]

CALM: Series = {
    'driftgate_requests_total{model="tickets",version="3",code="200"}': "0+60x300",
    'driftgate_predicted_label_total{model="tickets",version="3",label="billing"}': "0+20x300",
    'driftgate_request_seconds_bucket{le="0.1"}': "0+60x300",
    'driftgate_request_seconds_bucket{le="1.0"}': "0+60x300",
    'driftgate_request_seconds_bucket{le="+Inf"}': "0+60x300",
    'driftgate_request_seconds_count{instance="a"}': "0+60x300",
    'driftgate_queue_tokens{instance="a",base="minilm"}': "100+0x300",
    'driftgate_queue_limit_tokens{instance="a",base="minilm"}': "4096+0x300",
    'driftgate_adapter_slots{instance="a",base="minilm",state="free"}': "100+0x300",
    'driftgate_adapter_lookups_total{instance="a",base="minilm",result="hit"}': "0+60x300",
    'driftgate_adapter_lookups_total{instance="a",base="minilm",result="miss"}': "0+0x300",
    'driftgate_adapter_load_seconds_count{instance="a"}': "0+0x300",
    'driftgate_predictions_dropped_total{reason="buffer_full"}': "0+0x300",
    'driftgate_predictions_dropped_total{reason="store_down"}': "0+0x300",
    'driftgate_rollout_stage{model="tickets"}': "0+0x300",
    'driftgate_accuracy{model="tickets",version="3",kind="validation"}': "0.9+0x300",
    'driftgate_accuracy{model="tickets",version="3",kind="labelled"}': "0.88+0x300",
    'driftgate_accuracy{model="tickets",version="3",kind="estimated"}': "0.89+0x300",
    'driftgate_drift_detected{model="tickets"}': "0+0x300",
    'driftgate_last_check_timestamp_seconds{model="tickets"}': "0+60x300",
    'driftgate_review_queue{model="tickets"}': "40+0x300",
    "driftgate_run_seconds_count": "0+0x300",
}
LOOKED_AT_MINUTE = 240


@dataclass(frozen=True, slots=True)
class Day:
    """A day that differs from the calm one in `change`; None takes a series away."""

    name: str
    change: Series
    alarms: frozenset[str]


def _day(name: str, change: Series, *alarms: str) -> Day:
    return Day(name, change, frozenset(f"Driftgate{alarm}" for alarm in alarms))


_LABELLED = 'driftgate_accuracy{model="tickets",version="3",kind="labelled"}'
_ESTIMATED = 'driftgate_accuracy{model="tickets",version="3",kind="estimated"}'
_LAST_CHECK = 'driftgate_last_check_timestamp_seconds{model="tickets"}'
_REQUESTS = 'driftgate_requests_total{model="tickets",version="3",code="%d"}'
_WAITING = 'driftgate_queue_tokens{instance="a",base="minilm"}'
_MISSES = 'driftgate_adapter_lookups_total{instance="a",base="minilm",result="miss"}'
_FREE_SLOTS = 'driftgate_adapter_slots{instance="a",base="minilm",state="free"}'
_LOADS = 'driftgate_adapter_load_seconds_count{instance="a"}'
_FAILED = 'driftgate_runs_total{model="tickets",outcome="failed"}'

DAYS = (
    _day("calm", {}),
    _day("drift", {'driftgate_drift_detected{model="tickets"}': "1+0x300"}, "DriftConfirmed"),
    _day("wrong answers", {_LABELLED: "0.7+0x300"}, "AccuracyLow"),
    _day("doubt without labels", {_LABELLED: None, _ESTIMATED: "0.7+0x300"}, "EstimatedAccuracyLow"),
    _day("doubt that labels disprove", {_ESTIMATED: "0.7+0x300"}),
    _day(
        "a candidate of another version is worse than production ever was",
        {'driftgate_accuracy{model="tickets",version="4",kind="labelled"}': "0.5+0x300"},
    ),
    _day("no monitor", {'driftgate_review_queue{model="tickets"}': None}, "MonitorSilent"),
    _day(
        "nothing deployed yet",
        {'driftgate_review_queue{model="tickets"}': None, 'driftgate_rollout_stage{model="tickets"}': None},
    ),
    _day("checks stopped", {_LAST_CHECK: "0+0x300"}, "ChecksLate"),
    _day(
        "too little traffic for a check",
        {
            _LAST_CHECK: "0+0x300",
            'driftgate_predicted_label_total{model="tickets",version="3",label="billing"}': "0+1x300",
        },
    ),
    _day("no server", {'driftgate_request_seconds_count{instance="a"}': None, _WAITING: None}, "ServeSilent"),
    _day("a server without a model", {_WAITING: None, _FREE_SLOTS: None, _MISSES: None}),
    _day("errors", {_REQUESTS % 503: "0+3x300"}, "ErrorRatioHigh"),
    _day("callers err, not we", {_REQUESTS % 422: "0+30x300"}),
    _day("slow", {'driftgate_request_seconds_bucket{le="0.1"}': "0+50x300"}, "LatencyHigh"),
    _day("queue nearly full", {_WAITING: "3500+0x300"}, "QueueFilling"),
    _day(
        "the same tokens in the longer queue of more cores",
        {_WAITING: "3500+0x300", 'driftgate_queue_limit_tokens{instance="a",base="minilm"}': "16384+0x300"},
    ),
    _day(
        "adapters push each other out",
        {_MISSES: "0+90x300", _FREE_SLOTS: "0+0x300", _LOADS: "0+80x300"},
        "AdaptersThrash",
    ),
    _day("many adapters are loaded for the first time", {_MISSES: "0+90x300", _LOADS: "0+80x300"}),
    _day("every slot is taken by what is asked for", {_FREE_SLOTS: "0+0x300"}),
    _day("slots are full and few adapters change", {_MISSES: "0+20x300", _FREE_SLOTS: "0+0x300", _LOADS: "0+20x300"}),
    _day("queue full between scrapes", {_REQUESTS % 429: "0+3x300"}, "RequestsRefused"),
    _day("store down", {'driftgate_predictions_dropped_total{reason="store_down"}': "0+1x300"}, "PredictionsDropped"),
    _day("no worker", {"driftgate_run_seconds_count": None}, "WorkerSilent"),
    _day("the first run of a model fails", {_FAILED: "_x220 1+0x80"}, "RunFailed"),
    _day("another run fails", {_FAILED: "1+0x219 2+0x80"}, "RunFailed"),
    _day("a run failed hours ago", {_FAILED: "_x60 1+0x240"}),
    _day("nobody labels", {'driftgate_review_queue{model="tickets"}': "600+0x300"}, "ReviewQueueLong"),
)

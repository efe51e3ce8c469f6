"""What low, medium and high stand for, where a person has no figures yet."""

from collections.abc import Mapping
from dataclasses import dataclass

from retrain.cost import Device

SIMILARITY: Mapping[str, float] = {"high": 0.9, "medium": 0.7, "low": 0.4}
"""On the scale of `Situation.similarity`: MiniLM has 0.95 on intents (CLINC150), and 0.2 on emotions (GoEmotions)."""


@dataclass(frozen=True, slots=True)
class Compute:
    device: Device
    cores: int
    time_s: float
    memory_bytes: float


COMPUTE: Mapping[str, Compute] = {
    "low": Compute("cpu", 2, 600.0, 4 * 2.0**30),
    "medium": Compute("cpu", 8, 3_600.0, 16 * 2.0**30),
    "high": Compute("cuda", 1, 14_400.0, 24 * 2.0**30),
}

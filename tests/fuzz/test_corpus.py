"""Every seed of the fuzzed parsers is accepted or refused, as its name says."""

from pathlib import Path

import pytest
from harnesses import HARNESSES

CORPUS = Path(__file__).with_name("corpus")


def test_every_harness_has_seeds_that_are_accepted_and_seeds_that_are_refused() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == HARNESSES.keys()
    for folder in CORPUS.iterdir():
        kinds = {seed.name.partition("-")[0] for seed in folder.iterdir()}
        assert kinds == {"accepted", "refused"}, folder.name


@pytest.mark.parametrize(
    "seed", sorted(CORPUS.glob("*/*")), ids=lambda seed: f"{seed.parent.name}/{seed.name}"
)
def test_a_seed_is_accepted_or_refused_as_its_name_says(seed: Path) -> None:
    accepted = HARNESSES[seed.parent.name](seed.read_bytes())
    assert accepted == seed.name.startswith("accepted-")

"""`deploy/monitor.sh`: what is watched is there, once, for the service as it is called."""

import json
from pathlib import Path

from project import Project

from local.function import ROOT

EMAIL = "ops@example.com"


def names(folder: str) -> set[str]:
    return {file.stem for file in Path(ROOT, "deploy/monitoring", folder).glob("*.yaml")}


def test_a_second_run_makes_nothing_and_brings_up_to_date(project: Project) -> None:
    state = project.cloud.state
    state.enabled |= {"monitoring.googleapis.com", "logging.googleapis.com"}
    project.edit("deploy/names.sh", 'SERVICE="livetoken"', 'SERVICE="voice"')
    first = project.run("deploy/monitor.sh", EMAIL)
    assert first.status == 0, first.output
    project.edit("deploy/monitoring/dashboard.yaml", "columns: 12", "columns: 24")
    project.edit("deploy/monitoring/alerts/slow.yaml", "thresholdValue: 3000", "thresholdValue: 1")
    again = project.run("deploy/monitor.sh", EMAIL)
    assert again.status == 0, again.output
    assert set(state.log_metrics) == names("metrics")
    assert len(state.alert_policies) == len(names("alerts"))
    (channel,) = state.notification_channels.values()
    assert channel["labels"] == {"email_address": EMAIL}
    assert all(
        each["notificationChannels"] == [channel["name"]] for each in state.alert_policies.values()
    )
    (board,) = state.dashboards.values()
    assert board["mosaicLayout"]["columns"] == 24
    watched = json.dumps([state.log_metrics, state.alert_policies, board])
    assert 'service_name=\\"voice\\"' in watched
    assert 'service_name=\\"livetoken\\"' not in watched
    assert '"thresholdValue": 1.0' in watched or '"thresholdValue": 1,' in watched
    assert [each for each in project.cloud.requests if each.status == 409] == []


def test_without_an_address_nobody_is_told_so_nothing_is_made(project: Project) -> None:
    for arguments in ((), ("nobody",), (EMAIL, EMAIL)):
        assert "usage: deploy/monitor.sh EMAIL" in project.run("deploy/monitor.sh", *arguments).last
    assert project.cloud.requests == []

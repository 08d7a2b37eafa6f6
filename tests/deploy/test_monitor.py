"""`deploy/monitor.sh` installs the monitoring of the named service, each part once."""

import json

from project import Project

EMAIL = "ops@example.com"
METRICS = {"livetoken_latency", "livetoken_decisions"}


def test_what_exists_is_updated_and_what_is_missing_is_created(project: Project) -> None:
    state = project.cloud.state
    state.enabled |= {"monitoring.googleapis.com", "logging.googleapis.com"}
    project.name("SERVICE", "voice")
    state.log_metrics["livetoken_latency"] = {"name": "livetoken_latency", "filter": "old"}
    slow = "projects/demo-livetoken/alertPolicies/70"
    state.alert_policies["70"] = {"name": slow, "displayName": "livetoken: slow"}
    board = "projects/123456789012/dashboards/80"
    state.dashboards["80"] = {"name": board, "displayName": "livetoken", "etag": "v1"}
    for kind, kept in (("metrics", METRICS), ("alerts", {"slow", "no-mints"})):
        for file in (project.root / "deploy/monitoring" / kind).glob("*.yaml"):
            if file.stem not in kept:  # gcloud takes a second per file
                file.unlink()
    done = project.run("deploy/monitor.sh", EMAIL)
    assert done.status == 0, done.output
    assert set(state.log_metrics) == METRICS
    alerts = {each["displayName"]: each for each in state.alert_policies.values()}
    assert alerts.keys() == {"livetoken: slow", "livetoken: no mints"}
    assert len(state.alert_policies) == 2
    assert alerts["livetoken: slow"]["name"] == slow
    assert len(alerts["livetoken: slow"]["conditions"]) == 2
    (channel,) = state.notification_channels.values()
    assert channel["labels"] == {"email_address": EMAIL}
    assert {tuple(each["notificationChannels"]) for each in alerts.values()} == {(channel["name"],)}
    (drawn,) = state.dashboards.values()
    assert (drawn["name"], drawn["mosaicLayout"]["columns"]) == (board, 12)
    watched = json.dumps([state.log_metrics, alerts, drawn])
    assert 'service_name=\\"voice\\"' in watched
    assert 'service_name=\\"livetoken\\"' not in watched
    assert [each for each in project.cloud.requests if each.status == 409] == []


def test_without_an_email_address_nothing_is_created(project: Project) -> None:
    for arguments in ((), ("nobody",), (EMAIL, EMAIL)):
        assert "usage: deploy/monitor.sh EMAIL" in project.run("deploy/monitor.sh", *arguments).last
    assert project.cloud.requests == []

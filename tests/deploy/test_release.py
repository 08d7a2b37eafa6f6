"""`deploy/deploy.sh` moves traffic only to a tested revision, or to one that is named."""

import json

import pytest
from cloud import Fault
from project import NEW_KEY, NUMBER, SERVICE, Project, masked, transcript
from stack import API_KEY, ORIGIN
from uploaded import served


def test_a_release_after_a_rollback_gets_all_traffic_and_keeps_no_old_setting(
    deployed: Project,
) -> None:
    before = deployed.serving.name
    assert deployed.deploy("rollback", before).status == 0
    assert "FIREBASE_PROJECT_NUMBER" in deployed.serving.variables
    deployed.edit("deploy/env.yaml", NUMBER, "")
    deployed.write_policy((deployed.root / "policy.toml").read_text().replace("patient", "kind"))
    done = deployed.deploy()
    assert done.status == 0, done.output
    assert set(masked(transcript("`deploy.sh` then"))) <= set(masked(done.output.splitlines()))
    assert done.last == f"To roll back: deploy/deploy.sh rollback {before}"
    assert deployed.serving.name != before
    assert deployed.cloud.tags(SERVICE) == {}
    signed_in = {"Authorization": f"Bearer {deployed.stack.issuer.id_token('ada')}"}
    assert deployed.cloud.ask(deployed.cloud.url(SERVICE), headers=signed_in).status == 200
    assert "kind tutor" in json.dumps(deployed.stack.gemini.minted()[-1].body)
    _no_traffic_before_the_smoke_test(deployed, before)
    _the_revision_has_the_measured_size(deployed)
    assert deployed.cloud.files(deployed.serving).keys() == served()
    assert "FIREBASE_PROJECT_NUMBER" not in deployed.serving.variables


def _no_traffic_before_the_smoke_test(deployed: Project, before: str) -> None:
    deploys = [json.loads(each.body) for each in deployed.cloud.requests if each.method == "PUT"]
    shares = [
        {each["revisionName"]: each["percent"] for each in traffic if each.get("percent")}
        for traffic in (each["spec"]["traffic"] for each in deploys)
    ]
    assert shares == [{before: 100}, {before: 100}, {deployed.serving.name: 100}]


def _the_revision_has_the_measured_size(deployed: Project) -> None:
    revision = deployed.serving
    annotations = revision.metadata["annotations"]
    assert revision.spec["containerConcurrency"] == 250
    assert revision.spec["timeoutSeconds"] == 30
    assert revision.container["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}
    assert annotations["run.googleapis.com/startup-cpu-boost"].lower() == "true"
    assert annotations["autoscaling.knative.dev/maxScale"] == "1"
    assert annotations.get("autoscaling.knative.dev/minScale", "0") == "0"
    assert revision.account == deployed.cloud.account("livetoken")
    assert revision.secrets == {"GEMINI_API_KEY": "livetoken-key:1"}
    (build,) = (
        json.loads(each.body)
        for each in deployed.cloud.requests
        if each.path.endswith("builds:submit")
    )
    assert deployed.cloud.account("livetoken-build") in build["serviceAccount"]
    assert "python313" in json.dumps(build)


def test_a_deploy_that_fails_changes_nothing(deployed: Project) -> None:
    before = deployed.serving.name
    (deployed.root / "main.py").write_text("raise SystemExit(1)\n")
    done = deployed.deploy()
    assert done.status == 1
    assert "failed to start and listen on the port" in done.output
    assert "The deploy failed; see above." in done.last, done.output
    assert deployed.serving.name == before
    assert deployed.cloud.tags(SERVICE) == {}


@pytest.mark.parametrize("arguments", [(), ("canary",), ("rotate",)])
def test_an_invalid_checkout_changes_nothing(project: Project, arguments: tuple[str]) -> None:
    project.edit("policy.toml", "patient", "hasty")
    done = project.deploy(*arguments, typed=NEW_KEY)
    assert (done.status, "policy.lock.json" in done.output) == (1, True)
    assert project.cloud.requests == []


def test_a_rollback_without_a_name_lists_the_revisions(deployed: Project) -> None:
    before = deployed.serving.name
    done = deployed.deploy("rollback")
    assert done.status == 1
    assert before in done.output
    assert "deploy/deploy.sh rollback REVISION" in done.last


def test_a_rollback_to_an_unknown_revision_moves_no_traffic(deployed: Project) -> None:
    before = deployed.serving.name
    done = deployed.deploy("rollback", "livetoken-00009-abc")
    assert done.status == 1
    assert "Could not move the traffic" in done.last
    assert deployed.serving.name == before


def test_a_canary_keeps_its_share_through_a_failed_release_and_is_promoted_or_removed(
    deployed: Project,
) -> None:
    before = deployed.serving.name
    assert deployed.deploy("canary", "60").status == 0
    (canary,) = deployed.cloud.tags(SERVICE).values()
    assert deployed.cloud.traffic(SERVICE) == {before: 40, canary: 60}
    deployed.cloud.rules.build_fails = "requirements.txt is broken"
    failed = deployed.deploy()
    assert (failed.status, "The deploy failed; see above." in failed.last) == (1, True)
    assert deployed.cloud.tags(SERVICE) == {"canary": canary}
    assert deployed.cloud.traffic(SERVICE) == {before: 40, canary: 60}
    half_way = deployed.cloud.snapshot()
    assert deployed.deploy("promote").last.endswith(f"deploy.sh rollback {before}")
    assert deployed.serving.name == canary
    assert deployed.cloud.tags(SERVICE) == {}
    deployed.cloud.restore(half_way)
    assert deployed.deploy("rollback").status == 0
    assert deployed.serving.name == before
    assert deployed.cloud.tags(SERVICE) == {}


def test_a_bad_new_key_moves_no_traffic_and_a_good_one_serves_and_rolls_back(
    deployed: Project,
) -> None:
    first, owner = deployed.serving.name, "owner@example.com"
    bad = deployed.deploy("rotate", typed="not-the-key\n", principal=owner)
    assert bad.status == 1
    assert "GEMINI_REFUSED" in bad.output
    assert "Traffic has not moved" in bad.last
    assert "versions disable 2 --secret=livetoken-key" in bad.output
    assert deployed.serving.name == first
    assert deployed.cloud.tags(SERVICE) == {}
    deployed.stack.gemini.behaviour.api_key = NEW_KEY
    try:
        done = deployed.deploy("rotate", typed=f"{NEW_KEY}\n", principal=owner)
        assert done.status == 0, done.output
    finally:
        deployed.stack.gemini.behaviour.api_key = API_KEY
    assert NEW_KEY not in done.output
    assert deployed.cloud.leaks(NEW_KEY.encode()) == []
    assert "versions disable 1 --secret=livetoken-key" in done.last
    assert deployed.serving.secrets == {"GEMINI_API_KEY": "livetoken-key:3"}
    assert deployed.deploy("rollback", first).status == 0
    assert deployed.serving.secrets == {"GEMINI_API_KEY": "livetoken-key:1"}


def test_without_a_test_user_only_refusals_are_checked(deployed: Project) -> None:
    deployed.name("SMOKE_EMAIL", "")
    deployed.edit("deploy/env.yaml", f'ALLOWED_ORIGINS: "{ORIGIN}"\n', "")
    done = deployed.deploy("smoke")
    assert done.status == 0, done.output
    shown = transcript("`setup.sh` asks")
    table = shown[shown.index("endpoint") : -1]
    assert set(table) <= set(done.output.splitlines())
    assert deployed.stack.gemini.mints == []


def test_the_releaser_cannot_change_the_key(deployed: Project) -> None:
    done = deployed.deploy("rotate", typed=f"{NEW_KEY}\n")
    assert done.status == 1
    assert "secretVersionAdder" in done.last
    assert len(deployed.cloud.state.secrets["livetoken-key"].versions) == 1


def test_before_the_setup_it_names_the_setup_script(project: Project) -> None:
    done = project.deploy(principal="owner@example.com")
    assert done.status == 1
    assert "deploy/setup.sh" in done.output
    assert project.cloud.state.services == {}


def test_a_failure_to_move_traffic_is_reported(deployed: Project) -> None:
    before = deployed.serving.name
    place = "run.googleapis.com/apis/.*/services/livetoken$"
    deployed.cloud.rules.faults.append(Fault("PUT", place, 403))
    done = deployed.deploy("rollback", before)
    assert done.status == 1
    assert "Could not move the traffic" in done.last
    assert deployed.serving.name == before


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("canary", "101"), ("canary", "x"), ("relase",), ("promote", "1"), ("ban",)],
)
def test_a_misspelt_argument_prints_the_usage(project: Project, arguments: tuple[str]) -> None:
    done = project.deploy(*arguments)
    assert done.status == 2
    assert "deploy/deploy.sh canary [PERCENT]" in done.output
    assert project.cloud.requests == []

"""`deploy/deploy.sh`: callers move to what was tried, or to what is named, and to nothing else."""

import json

import pytest
from cloud import Fault
from project import NEW_KEY, NUMBER, SERVICE, Project, masked, readme
from stack import API_KEY

from emulator.function import ROOT


def test_a_release_after_a_rollback_serves_everybody_and_nothing_sticks(deployed: Project) -> None:
    before = deployed.serving.name
    assert deployed.deploy("rollback", before).status == 0
    assert "FIREBASE_PROJECT_NUMBER" in deployed.serving.variables
    deployed.edit("deploy/env.yaml", NUMBER, "")
    deployed.write_policy((deployed.root / "policy.toml").read_text().replace("patient", "kind"))
    cache = deployed.root / "livetoken/__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_text("")
    (deployed.root / ".env").write_text("GEMINI_API_KEY=secret")
    done = deployed.deploy()
    assert done.status == 0, done.output
    assert set(masked(readme("`deploy.sh` then"))) <= set(masked(done.output.splitlines()))
    assert done.last == f"To go back: deploy/deploy.sh rollback {before}"
    assert deployed.serving.name != before
    assert deployed.cloud.tags(SERVICE) == {}
    signed_in = {"Authorization": f"Bearer {deployed.stack.issuer.id_token('ada')}"}
    assert deployed.cloud.ask(deployed.cloud.url(SERVICE), headers=signed_in).status == 200
    assert "kind tutor" in json.dumps(deployed.stack.gemini.minted()[-1].body)
    _no_caller_met_it_before_it_passed(deployed, before)
    _the_upload_holds_what_serves_and_nothing_else(deployed)
    _the_revision_is_cut_as_measured(deployed)
    assert "FIREBASE_PROJECT_NUMBER" not in deployed.serving.variables


def _no_caller_met_it_before_it_passed(deployed: Project, before: str) -> None:
    deploys = [json.loads(each.body) for each in deployed.cloud.requests if each.method == "PUT"]
    shares = [
        {each["revisionName"]: each["percent"] for each in traffic if each.get("percent")}
        for traffic in (each["spec"]["traffic"] for each in deploys)
    ]
    assert shares == [{before: 100}, {before: 100}, {deployed.serving.name: 100}]


def _the_upload_holds_what_serves_and_nothing_else(deployed: Project) -> None:
    modules = {f"livetoken/{file.name}" for file in (ROOT / "livetoken").glob("*.py")}
    files = {"main.py", "policy.toml", "policy.lock.json", "requirements.txt"}
    assert set(deployed.cloud.files(deployed.serving)) == modules | files


def _the_revision_is_cut_as_measured(deployed: Project) -> None:
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
def test_what_would_not_serve_touches_nothing(project: Project, arguments: tuple[str]) -> None:
    project.edit("policy.toml", "patient", "hasty")
    done = project.deploy(*arguments, typed=NEW_KEY)
    assert (done.status, "policy.lock.json" in done.output) == (1, True)
    assert project.cloud.requests == []


def test_a_rollback_without_a_name_lists_what_there_is(deployed: Project) -> None:
    before = deployed.serving.name
    done = deployed.deploy("rollback")
    assert done.status == 1
    assert before in done.output
    assert "deploy/deploy.sh rollback REVISION" in done.last


def test_a_rollback_to_nothing_moves_nobody(deployed: Project) -> None:
    before = deployed.serving.name
    done = deployed.deploy("rollback", "livetoken-00009-abc")
    assert done.status == 1
    assert "could not be moved" in done.last
    assert deployed.serving.name == before


def test_a_canary_has_its_share_outlives_a_failed_release_and_is_promoted_or_taken_away(
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


def test_what_was_not_tried_to_its_end_is_not_promoted(deployed: Project) -> None:
    before = deployed.serving.name
    tag = ("gcloud", "run", "services", "update-traffic", SERVICE, "--region=us-central1")
    killed = (*tag, f"--update-tags=trial={before}", "--project=demo-livetoken")
    assert deployed.run(*killed).status == 0
    assert "no canary to promote" in deployed.deploy("promote").last
    assert deployed.deploy("rollback").status == 0
    assert deployed.cloud.tags(SERVICE) == {}
    assert deployed.serving.name == before


def test_a_rotation_to_a_bad_key_moves_nobody_and_the_next_serves_and_can_go_back(
    deployed: Project,
) -> None:
    first, owner = deployed.serving.name, "owner@example.com"
    bad = deployed.deploy("rotate", typed="not-the-key\n", principal=owner)
    assert bad.status == 1
    assert "GEMINI_REFUSED" in bad.output
    assert "Callers are where they were" in bad.last
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


def test_without_a_test_person_refusals_alone_are_checked(deployed: Project) -> None:
    deployed.name("SMOKE_EMAIL", "")
    done = deployed.deploy("smoke")
    assert done.status == 0, done.output
    in_the_readme = readme("`setup.sh` asks")
    table = in_the_readme[in_the_readme.index("endpoint") : -1]
    assert set(table) <= set(done.output.splitlines())
    assert deployed.stack.gemini.mints == []


def test_the_releaser_changes_no_key(deployed: Project) -> None:
    done = deployed.deploy("rotate", typed=f"{NEW_KEY}\n")
    assert done.status == 1
    assert "secretVersionAdder" in done.last
    assert len(deployed.cloud.state.secrets["livetoken-key"].versions) == 1


def test_before_the_setup_it_says_what_to_run(project: Project) -> None:
    done = project.deploy(principal="owner@example.com")
    assert done.status == 1
    assert "deploy/setup.sh" in done.output
    assert project.cloud.state.services == {}


def test_traffic_that_cannot_be_moved_is_said(deployed: Project) -> None:
    before = deployed.serving.name
    place = "run.googleapis.com/apis/.*/services/livetoken$"
    deployed.cloud.rules.faults.append(Fault("PUT", place, 403))
    done = deployed.deploy("rollback", before)
    assert done.status == 1
    assert "could not be moved" in done.last
    assert deployed.serving.name == before


def test_a_release_that_another_overtakes_moves_nobody(deployed: Project) -> None:
    before = deployed.serving.name
    other = deployed.root / "deploy/other.sh"
    move = f"gcloud run services update-traffic {SERVICE} --region=us-central1 --project=$PROJECT"
    other.write_text(f"#!/bin/sh\n{move} --update-tags=trial={before} >&2\ndeploy/id_token.py\n")
    other.chmod(0o755)
    deployed.edit(
        "deploy/names.sh", "SMOKE_EMAIL:+deploy/id_token.py", "SMOKE_EMAIL:+deploy/other.sh"
    )
    done = deployed.deploy()
    assert done.status == 1
    assert "Another release took the address" in done.last
    assert deployed.serving.name == before
    assert deployed.cloud.tags(SERVICE) == {"trial": before}


def test_a_release_that_is_interrupted_leaves_no_canary(deployed: Project) -> None:
    before = deployed.serving.name
    done = deployed.interrupt("deploy/deploy.sh", after="accounts:signInWithPassword")
    assert done.status != 0
    assert "Interrupted. Run it again" in done.output
    assert deployed.serving.name == before
    assert deployed.cloud.tags(SERVICE) == {}


@pytest.mark.parametrize(
    "arguments", [("--help",), ("canary", "101"), ("canary", "x"), ("relase",), ("promote", "1")]
)
def test_a_misspelt_argument_prints_how_it_is_used(project: Project, arguments: tuple[str]) -> None:
    done = project.deploy(*arguments)
    assert done.status == 2
    assert "deploy/deploy.sh canary [PERCENT]" in done.output
    assert project.cloud.requests == []

"""The public URLs of trials and canaries: which command removes them, and which leaves them."""

import re
import signal
import time

from cloud import Fault
from cloud.cloud import OWNER
from project import SERVICE, Project
from stack import API_KEY

SIGN_IN = "accounts:signInWithPassword"


def tags(project: Project) -> dict[str, str]:
    return project.cloud.tags(SERVICE)


def began(seconds_ago: int) -> str:
    """The tag of a release that began so long ago."""
    return f"trial-{int(time.time()) - seconds_ago}"


def tag(project: Project, revision: str, *names: str) -> None:
    """Give a revision more tags."""
    update = ("run", "services", "update-traffic", SERVICE, "--region=us-central1")
    project.gcloud(*update, f"--update-tags={','.join(f'{name}={revision}' for name in names)}")


def during_the_smoke_test(project: Project, command: str) -> None:
    """Let a command run in the middle of the next smoke test."""
    script = project.root / "deploy/other.sh"
    script.write_text(f"#!/bin/sh\nset -e\n{command} >&2\ndeploy/id_token.py\n")
    script.chmod(0o755)
    project.edit(
        "deploy/names.sh", "SMOKE_EMAIL:+deploy/id_token.py", "SMOKE_EMAIL:+deploy/other.sh"
    )


def test_any_command_that_moves_traffic_removes_the_url_that_a_killed_release_left(
    deployed: Project,
) -> None:
    before = deployed.serving.name
    killed = deployed.interrupt("deploy/deploy.sh", after=SIGN_IN, by=signal.SIGKILL)
    assert killed.status == -signal.SIGKILL
    ((left, revision),) = tags(deployed).items()
    public = deployed.cloud.url(SERVICE, tag=left)
    half_way = deployed.cloud.snapshot()
    for arguments in ([], ["canary"], ["promote"], ["rollback"], ["rollback", before], ["rotate"]):
        deployed.cloud.restore(half_way)
        assert deployed.cloud.ask(public).status == 401
        assert deployed.serving.name == before
        if arguments == ["promote"]:
            tag(deployed, revision, "canary")
        principal = OWNER if arguments == ["rotate"] else None
        done = deployed.deploy(*arguments, typed=f"{API_KEY}\n", principal=principal)
        assert done.status == 0, done.output
        assert f"swept     {left}: " in done.output, arguments
        assert [*tags(deployed)] == (["canary"] if arguments == ["canary"] else [])
        assert deployed.cloud.ask(public).status == 404


def test_a_command_that_moves_no_traffic_removes_only_urls_that_are_over_an_hour_old(
    deployed: Project,
) -> None:
    before = deployed.serving.name
    assert deployed.deploy("rollback", before).status == 0  # so that a new revision gets no traffic
    young, ended = began(1800), ["trial", began(3700)]
    deployed.name("OWN_TAGS", "mine fh-0123")
    tag(deployed, before, *ended, young, "mine", "fh-0123", "trial-x")
    deployed.release({"name": "A", "value": "b"})
    tag(deployed, deployed.cloud.revision(SERVICE).name, "canary")
    all_of_them = tags(deployed)
    kept = {name: at for name, at in all_of_them.items() if name not in ended}
    half_way = deployed.cloud.snapshot()

    done = deployed.deploy("smoke")
    assert done.status == 0, done.output
    assert tags(deployed) == all_of_them

    for arguments in ([], ["canary"], ["rotate"], ["rollback", "livetoken-00009-abc"]):
        deployed.cloud.restore(half_way)
        deployed.cloud.rules.person.password = "another"
        principal = OWNER if arguments == ["rotate"] else None
        done = deployed.deploy(*arguments, typed=f"{API_KEY}\n", principal=principal)
        assert done.status == 1, done.output
        swept = [line for line in done.output.splitlines() if line.startswith("swept")]
        assert [set(line.split()[1].strip(":").split(",")) for line in swept] == [{*ended}]
        assert re.search(rf"{young} is .* that began 3\d minutes ago and may be", done.output)
        assert "did not create the tags trial-x." in done.output
        assert tags(deployed) == kept, arguments


def test_a_url_that_cannot_be_removed_is_reported_and_does_not_stop_a_rollback(
    deployed: Project,
) -> None:
    before, ended = deployed.serving.name, began(3700)
    tag(deployed, before, ended)
    place = f"run.googleapis.com/apis/.*/services/{SERVICE}$"
    deployed.cloud.rules.faults.append(Fault("PUT", place, 403))
    done = deployed.deploy("rollback", before)
    assert done.status == 0, done.output
    assert f"--remove-tags={ended} --project=demo-livetoken" in done.output
    assert tags(deployed) == {}


def test_a_release_stops_if_a_rollback_removed_its_url(deployed: Project) -> None:
    before = deployed.serving.name
    during_the_smoke_test(deployed, "deploy/deploy.sh rollback")
    done = deployed.deploy()
    assert done.status == 1
    assert "Another command moved the traffic" in done.last
    assert deployed.cloud.traffic(SERVICE) == {before: 100}
    assert tags(deployed) == {}


def test_a_release_stops_if_the_traffic_is_not_as_it_found_it(deployed: Project) -> None:
    first = deployed.serving.name
    deployed.release({"name": "A", "value": "b"})
    second = deployed.serving.name
    assert deployed.deploy("rollback", first).status == 0
    move = f"gcloud run services update-traffic {SERVICE} --region=us-central1 --project=$PROJECT"
    during_the_smoke_test(deployed, f"{move} --to-revisions={second}=100")
    done = deployed.deploy()
    assert done.status == 1
    assert "Another command moved the traffic" in done.last
    assert deployed.cloud.traffic(SERVICE) == {second: 100}
    assert tags(deployed) == {}

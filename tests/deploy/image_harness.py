"""Builds and runs the container image without a container daemon.

buildah does it, as root, with the isolation of chroot, which asks nothing of
the machine but that. What it stores is under build/image, and gone in the end
but for the base image, which takes a minute to make.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

from server_process import is_sanitized, server_binary

ROOT = pathlib.Path(__file__).parents[2]
WORK = ROOT / "build/image"
STORE = WORK / "store"
RUNTIME = WORK / "stage/image/runtime"
BASE = WORK / "base.tar"
STAMP = WORK / "compiled.stamp"
PATIENCE = 60
REVISION = "0123abcd"
# Whom the image runs as.
USER = 65532


def why_not():
    """Why images can not be built here; empty if they can."""
    for tool in ("buildah", "debootstrap"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    if os.geteuid() != 0:
        return "buildah's isolation of chroot needs root"
    if is_sanitized():
        return "images hold no sanitized servers"
    return ""


def output_of(*command, **options):
    """What a command prints. It has to succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    log = done.stdout[-4000:] + done.stderr[-4000:]
    assert done.returncode == 0, f"{command}\n{log}"
    return done.stdout


def buildah_command(*words):
    """A command that knows where images are, and leaves nothing elsewhere."""
    temporary = WORK / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return [
        *("env", f"TMPDIR={temporary}", "buildah", "--storage-driver=vfs"),
        *(f"--root={STORE}", f"--runroot={WORK / 'run'}"),
        *words,
    ]


def buildah(*words):
    """Runs buildah."""
    return output_of(*buildah_command(*words))


def clear():
    """Removes what buildah stored."""
    if STORE.exists():
        buildah("rm", "--all")
        shutil.rmtree(STORE)
    for folder in ("run", "stage", "tmp"):
        shutil.rmtree(WORK / folder, ignore_errors=True)


def build(tag, *options):
    """Builds the Dockerfile. Returns the name of the image."""
    buildah(
        "bud",
        "--isolation=chroot",
        "--pull-never",
        # The only one that has health checks.
        "--format=docker",
        f"--tag={tag}",
        f"--build-arg=REVISION={REVISION}",
        *options,
        str(ROOT),
    )
    return tag


def build_assembled():
    """The last stage, over the server that is there already."""
    output_of(ROOT / "deploy/image_files.py", server_binary(), RUNTIME)
    return build("assembled", f"--build-context=build={WORK / 'stage'}")


def package_sources():
    """Where this machine has its Debian packages from."""
    targets = output_of(
        "apt-get",
        "indextargets",
        "--format=$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    )
    found = re.findall(r"^(\S+) (bookworm\S*) (main)$", targets, re.MULTILINE)
    return sorted(set(found), key=lambda source: source[1])


def make_base():
    """Makes Debian 12, as slim as the image that the Dockerfile names."""
    sources = package_sources()
    assert sources, "apt has no packages of Debian 12"
    folder = WORK / "base"
    shutil.rmtree(folder, ignore_errors=True)
    more = []
    if any(source[0].startswith("https:") for source in sources):
        more.append("--include=ca-certificates")
    settings = output_of("apt-config", "dump")
    environment = dict(os.environ)
    proxy = re.search(
        r'^Acquire::http::Proxy "(.+)";$', settings, re.MULTILINE
    )
    if proxy:
        environment["http_proxy"] = proxy[1]
    output_of(
        *("debootstrap", "--variant=minbase", *more),
        *("bookworm", folder, sources[0][0]),
        env=environment,
    )
    lines = [f"deb {' '.join(source)}\n" for source in sources]
    (folder / "etc/apt/sources.list").write_text("".join(lines))
    lines = re.findall(r"^Acquire::https?::.*\n", settings, re.MULTILINE)
    (folder / "etc/apt/apt.conf.d/proxies").write_text("".join(lines))
    (folder / "etc/dpkg/dpkg.cfg.d/slim").write_text(
        "force-unsafe-io\n"
        "path-exclude /usr/share/doc/*\n"
        "path-include /usr/share/doc/*/copyright\n"
        "path-exclude /usr/share/man/*\n"
    )
    shutil.rmtree(folder / "var/cache/apt/archives")
    output_of("tar", "-C", folder, "-cf", WORK / "base.part", ".")
    (WORK / "base.part").rename(BASE)
    shutil.rmtree(folder)


def base_image():
    """The name of an image with Debian 12."""
    if not BASE.exists():
        make_base()
    container = buildah("from", "scratch").strip()
    buildah("add", container, str(BASE), "/")
    buildah("commit", "--rm", container, "base")
    return "localhost/base"


def compiled_from():
    """A digest of all that only the stage that compiles depends on.

    The sources themselves are compiled by the tests anyway.
    """
    files = [
        ROOT / "Dockerfile",
        ROOT / ".dockerignore",
        ROOT / "deploy/image_files.py",
        ROOT / "deploy/packages.txt",
        ROOT / "CMakeLists.txt",
        *sorted((ROOT / "deploy/cmake").iterdir()),
        *(
            path
            for folder in ("client", "core", "proto", "server")
            for path in sorted((ROOT / folder).rglob("CMakeLists.txt"))
        ),
    ]
    content = b"\0".join(path.read_bytes() for path in files)
    return hashlib.sha256(content).hexdigest()


def build_compiled():
    """All stages, with what this machine's ccache has."""
    cache = output_of("ccache", "--get-config=cache_dir").strip()
    pathlib.Path(cache).mkdir(parents=True, exist_ok=True)
    options = [
        f"--build-arg=BASE_IMAGE={base_image()}",
        f"--volume={cache}:/ccache",
        "--build-arg=CCACHE_DIR=/ccache",
    ]
    if "LANG" in os.environ:
        options.append(f"--build-arg=LANG={os.environ['LANG']}")
    return build("compiled", *options)


def config_of(image):
    """The configuration of an image, as Docker has it."""
    return json.loads(buildah("inspect", "--type=image", image))["Docker"]


class Process:
    """A server in a container, which writes its log as JSON."""

    def __init__(self, command, log, **options):
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                **options,
            )

    def log(self):
        return self._log.read_text(errors="replace")

    def events(self):
        """The server's lines, but for one that is not yet whole."""
        whole = self.log().rpartition("\n")[0]
        lines = whole.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_until_ready(self):
        """Returns the address that is listened on."""
        deadline = time.monotonic() + PATIENCE
        while not any(one["event"] == "ready" for one in self.events()):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)
        (address,) = (
            one["address"]
            for one in self.events()
            if one["event"] == "listening"
        )
        return address

    def server_id(self):
        """The id of the server's own process."""
        found = [self._process.pid]
        for pid in found:
            folder = pathlib.Path(f"/proc/{pid}")
            if (folder / "comm").read_text() == "tensord\n":
                return pid
            # Of each thread.
            for children in folder.glob("task/*/children"):
                found.extend(map(int, children.read_text().split()))
        raise AssertionError(self.log())

    def status(self):
        """The lines of the server's /proc/PID/status, by name."""
        text = pathlib.Path(f"/proc/{self.server_id()}/status").read_text()
        return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.MULTILINE))

    def stop(self):
        """Returns the exit code after SIGTERM."""
        os.kill(self.server_id(), signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def kill(self):
        if self._process.poll() is None:
            with contextlib.suppress(OSError, AssertionError):
                os.kill(self.server_id(), signal.SIGKILL)
            self._process.kill()
            self._process.wait(PATIENCE)


class Container:
    """A container of an image, until it is removed."""

    def __init__(self, image):
        self.config = config_of(image)["config"]
        # buildah allows fewer than the server needs, unlike Docker.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self._name = buildah(
            "from", "--pull-never", f"--ulimit=nofile={files}:{files}", image
        ).strip()

    def remove(self):
        buildah("rm", self._name)

    @contextlib.contextmanager
    def mounted(self):
        """The folder of its files."""
        yield pathlib.Path(buildah("mount", self._name).strip())
        buildah("umount", self._name)

    def command(self, words, environment):
        """A command that runs another one inside, on loopback alone."""
        variables = [
            f"--env={name}={environment[name]}" for name in environment
        ]
        return buildah_command(
            "run", "--isolation=chroot", *variables, self._name, "--", *words
        )

    def run(self, words, environment=None):
        return subprocess.run(
            self.command(words, environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )


# With /proc and /dev, which every container has, in a mount namespace that ends
# with the command.
READ_ONLY = """
set -e
root=$1 user=$2 chroot=$(command -v chroot)
shift 2
mkdir -p "$root/proc" "$root/dev"
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec env -i "$@" "$chroot" --userspec="$user" --groups= "$root" tensord
"""


def read_only_command(folder, config, environment):
    """A command that runs the server where it can write nowhere."""
    variables = [f"{name}={environment[name]}" for name in environment]
    return [
        *("unshare", "--mount", "--propagation=private"),
        *("sh", "-c", READ_ONLY, "sh", str(folder), config["User"]),
        *config["Env"],
        *variables,
    ]

"""A small cluster in namespaces of the kernel, for the tests of this folder. run.sh starts pytest in network, mount, PID, IPC and host name namespaces
of its own: what is started here ends with them, and nothing outside is touched.

Slurm: munged, slurmctld and two slurmd (w1, w2) on the host of the tests, and two hosts (n1, n2) with a network namespace each, on a bridge: their
cables can be pulled, and their power switched off."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "api"))
import harness  # noqa: E402

FOLDER = pathlib.Path("/run/bed")
SOCKET = "/run/munge/munge.socket.2"
NEAR, FAR = ("w1", "w2"), ("n1", "n2")
ADDRESS = {"n1": "10.77.0.11", "n2": "10.77.0.12"}
GUIDE = (harness.ROOT / "clients/guides/clusters.md").read_text()
# That of the guide, in the folder of the tests, without the user slurm and with two more nodes.
CONFIGURATION = (re.search(r"^```\n(ClusterName=.*?)^```", GUIDE, re.M | re.S)[1].replace("SlurmUser=slurm", "SlurmUser=root")
                 .replace("/var/lib/slurm/", "/run/bed/").replace("/var/log/slurm/", "/run/bed/").replace("=/run/slurm", "=/run/bed/slurm")) + """
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName=w[1-2] NodeHostname=control NodeAddr=10.77.0.1 Port=[17001-17002] CPUs=4 RealMemory=4000
PartitionName=near Nodes=w[1-2] Default=YES
"""


def call(*command, check=True, seconds=60, **more):
    """The standard output of a command."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=harness.patience(seconds), **more)
    assert done.returncode == 0 or not check, "%s ended with %d: %s" % (" ".join(map(str, command)), done.returncode, done.stdout + done.stderr)
    return done.stdout


def daemon(*command, prefix=(), **more):
    with open(FOLDER / "daemons.log", "ab") as log:
        return subprocess.Popen([*prefix, *map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)


# ---- processes: those of the hosts are seen from here, too ------------------------------------------------------------------------------------------

def processes(pattern, host=None):
    """{id: command line} of the processes whose command line matches; host: only of those in its network namespace."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if line and re.search(pattern, line) and (host is None or os.readlink(folder / "ns/net") == host.network):
                found[int(folder.name)] = line
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def kill(pids):
    """kill -9. Ids of processes that have ended are ignored."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


AGENT = r"backpropd job --stdio$"


def agents(host=None):
    """The ids of the agents: what a launcher has started, without srun and ssh, which have it in their arguments."""
    return [pid for pid, line in processes(AGENT, host).items() if not re.match(r"\S*(srun|ssh|slurmstepd|sh|unshare)\b", line)]


def workers(agent):
    """The ids of the job processes under an agent."""
    return [int(p) for p in pathlib.Path("/proc/%d/task/%d/children" % (agent, agent)).read_text().split()]


# ---- a host with a network namespace of its own -----------------------------------------------------------------------------------------------------

class Host:
    """boot() starts it with these daemons; crash() takes its power away: all its processes and connections are gone without a farewell."""

    def __init__(self, name):
        self.name, self.address, self.init = name, ADDRESS[name], None

    def boot(self, script, environment=None):
        """script: shell text, which runs in its namespaces and whose last command stays."""
        call("ip", "netns", "add", self.name)
        call("ip", "link", "add", "v" + self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        call("ip", "link", "set", "v" + self.name, "master", "bridge", "up")
        for command in ("link set lo up", "address add %s/24 dev eth0" % self.address, "link set eth0 up"):
            call("ip", "-n", self.name, *command.split())
        self.init = daemon("sh", "-c", "hostname %s; %s" % (self.name, script), env={**os.environ, **(environment or {})},
                           prefix=["nsenter", "--net=/run/netns/" + self.name, "unshare", "-u", "-m", "-i", "-p", "-f", "--kill-child", "--mount-proc"])
        self.network = "net:[%d]" % os.stat("/run/netns/" + self.name).st_ino

    def cable(self, plugged):
        call("ip", "link", "set", "v" + self.name, "up" if plugged else "down")

    def crash(self):
        self.cable(False)
        kill(processes(r".", self))
        self.init.wait()
        call("ip", "link", "delete", "v" + self.name)
        call("ip", "netns", "delete", self.name)


# ---- Slurm ------------------------------------------------------------------------------------------------------------------------------------------

class Slurm:
    """Its daemons, by name: slurmctld, w1, w2; n1 and n2 as hosts."""

    def __init__(self, far=()):
        self.daemons = {}
        (FOLDER / "slurmctld").mkdir(mode=0o700)
        pathlib.Path("/etc/slurm/slurm.conf").write_text(CONFIGURATION)
        pathlib.Path("/etc/slurm/mpi.conf").write_text("PMIxCliTmpDirBase=/run/bed/pmix\n")
        self.munge()
        self.start("slurmctld")
        for node in NEAR:
            self.start(node)
        self.hosts = {name: Host(name) for name in far}
        for host in self.hosts.values():
            self.boot(host)
        self.await_nodes(*NEAR, *far)

    def munge(self):
        key = FOLDER / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        pathlib.Path("/run/munge").mkdir(mode=0o755)
        self.daemons["munged"] = daemon(*self.munge_command("munge"))
        harness.until(lambda: os.path.exists(SOCKET), what="munged")

    @staticmethod
    def munge_command(folder):
        (FOLDER / folder).mkdir(mode=0o700, exist_ok=True)
        places = [part for name in ("log", "pid", "seed") for part in ("--%s-file" % name, str(FOLDER / folder / name))]
        return ["munged", "--foreground", "--force", "--key-file", str(FOLDER / "munge.key"), "--socket", SOCKET, *places]

    def start(self, name):
        self.daemons[name] = daemon("slurmctld", "-D") if name == "slurmctld" else daemon("slurmd", "-D", "-N", name)
        if name == "slurmctld":
            harness.until(lambda: "UP" in call("scontrol", "ping", check=False), what="slurmctld")

    def kill(self, name):
        self.daemons[name].kill()
        self.daemons[name].wait()

    def boot(self, host, environment=None):
        """With a munged of its own, which looks at the clock of the host."""
        (FOLDER / "pmix").mkdir(exist_ok=True)
        host.boot("mount -t tmpfs tmpfs /run/bed/pmix && mount -t tmpfs tmpfs /run/munge && { %s & } && while ! test -S %s; do sleep 0.05; done && exec slurmd -D -N %s"
                  % (" ".join(self.munge_command("munge-" + host.name)), SOCKET, host.name), environment)

    def states(self):
        return dict(line.split() for line in call("sinfo", "--noheader", "-N", "-o", "%N %T").splitlines())

    def await_nodes(self, *names):
        harness.until(lambda: all(self.states().get(n) in ("idle", "mixed", "allocated") for n in names), what="the nodes of Slurm")

    def queue(self, name=None):
        """[(name, state, node, comment)] of the jobs of Slurm that have not ended."""
        lines = call("squeue", "--noheader", "-o", "%j|%T|%N|%k", *(["--name", name] if name else [])).splitlines()
        return [tuple(line.split("|")) for line in lines]

    def kill_all(self):
        for process in self.daemons.values():
            process.kill()


# The launchers of the guide, in its words: {"slurm": ..., "n1": ..., "local": {}}.
LAUNCHERS = json.loads(re.search(r"^```json\n(\{\n.*?)^```", GUIDE, re.M | re.S)[1])


def srun(partition, *more):
    """The launcher of the guide, for a partition of the tests."""
    command = ["--partition=" + partition if "--partition" in part else part for part in LAUNCHERS["slurm"]["command"]]
    return {"command": [*command, *more], "cancel": LAUNCHERS["slurm"]["cancel"], "slots": 8}


# ---- ssh --------------------------------------------------------------------------------------------------------------------------------------------

# The command of the guide, with keys in the folder of the tests.
SSH = [part.replace("/etc/backpropd/", "/run/bed/") for part in LAUNCHERS["n1"]["command"]]


class Ssh(Host):
    """n1 with an sshd. ssh_key may do anything there, jobs_key what the guide lets a key do."""

    def __init__(self):
        super().__init__("n1")
        for key in "host", "ssh_key", "jobs_key":
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", FOLDER / key)
        (FOLDER / "known_hosts").write_text("n1 " + (FOLDER / "host.pub").read_text())
        forced = re.search(r"^(restrict,command=.*?) ssh-ed25519", GUIDE, re.M)[1].replace("/usr/local/bin/backpropd", harness.BACKPROPD)
        (FOLDER / "authorized_keys").write_text((FOLDER / "ssh_key.pub").read_text() + forced + " " + (FOLDER / "jobs_key.pub").read_text())
        self.start()

    def start(self):
        self.boot("exec /usr/sbin/sshd -D -e -f /dev/null -o HostKey=/run/bed/host -o AuthorizedKeysFile=/run/bed/authorized_keys -o StrictModes=no "
                  "-o UsePAM=no -o PidFile=none -o PermitRootLogin=yes -o PasswordAuthentication=no")
        harness.until(lambda: call(*SSH, "echo up", check=False) == "up\n", what="sshd")


# ---- jobs -------------------------------------------------------------------------------------------------------------------------------------------

# Some seconds long: a fault lands in the middle, because the tests wait for an epoch of it.
RUN = {"model": {"layers": [{"type": "dense", "units": 256, "activation": "relu"}, {"type": "dropout", "rate": 0.2}, {"type": "dense", "units": 128}]},
       "dataset": "digits", "target": "digit", "epochs": 800, "early_stopping": False, "batch_size": 32, "checkpoint_every_epochs": 2, "seed": 11}


def look(server, path):
    """The JSON of a GET, without a comparison with the contract: a test that looks again and again needs the processor for its jobs."""
    answer = server.raw("GET", path)
    assert answer.status == 200, answer
    return answer.json


def wait(server, job, condition, seconds=300):
    """Waits until the job is as the condition says; the job."""
    last = {}

    def is_so():
        last.update(look(server, "/v1/jobs/" + job))
        assert condition(last) or last["status"] not in harness.FINAL, "the job ended first: %r" % last
        return condition(last) and last

    try:
        return harness.until(is_so, seconds, "the job's state")
    except AssertionError as error:
        raise AssertionError("%s: %r" % (error, last)) from None


def reaches(server, job, epoch, attempt=1):
    """Waits until this attempt of the job has finished an epoch; and has a checkpoint, of an earlier one."""
    return wait(server, job, lambda j: j["attempt"] == attempt and j["status"] == "running" and j["progress"]["epoch"] >= epoch)


def attempts(server, job):
    """Its attempts, the first one first."""
    return server.get("/v1/jobs/%s/log" % job).json["attempts"][::-1]


def outcome(server, job):
    """Everything of a job's result that must not depend on where it ran and on what happened to it. It was finished once: one version, one row of
    metrics for each epoch, one event that says so. No attempt has written anything once a later one had begun."""
    ended = server.get("/v1/jobs/" + job).json
    assert ended["status"] == "succeeded", ended
    history = look(server, "/v1/jobs/%s/metrics?max_points=100000" % job)["data"]
    assert [row["epoch"] for row in history] == list(range(1, ended["options"]["epochs"] + 1))
    assert server.get("/v1/models/%s" % ended["model"]).json["versions"] == 1
    stream = server.raw("GET", "/v1/jobs/%s/events" % job, headers={"Accept": "text/event-stream"}).body.decode()
    events = [json.loads(line[len("data: "):]) for line in stream.splitlines() if line.startswith("data: ")]
    assert [e["data"]["status"] for e in events if e["type"] in ("status", "end") and e["data"]["status"] in harness.FINAL] == ["succeeded"] * 2
    assert events[-1]["type"] == "end"
    order = [e["attempt"] for e in events if e["attempt"] is not None]
    assert order == sorted(order) and order[-1] == ended["attempt"], order
    return {"weights": server.weights(ended["model"]), "history": history, "metrics": ended["metrics"], "best": ended["best"]}


def succeed(server, job, undisturbed):
    """Waits for its end, which is that of an undisturbed run, bit by bit; nothing of it is left anywhere. Its attempts."""
    wait(server, job, lambda j: j["status"] in harness.FINAL)
    assert outcome(server, job) == undisturbed
    harness.until(lambda: not agents(), what="the end of its processes")
    return attempts(server, job)


def cancel(server, *jobs):
    for job in jobs:
        assert server.post("/v1/jobs/%s/cancel" % job).status == 200
        wait(server, job, lambda j: j["status"] == "cancelled")


def waits_because(server, job):
    """The words of a job that its launcher could not start."""
    usual = ("has not started the job yet", "is being cancelled")
    return wait(server, job, lambda j: j["worker"] and j["worker"]["state"] == "waiting_for_launcher" and
                not j["worker"]["message"].endswith(usual))["worker"]["message"]

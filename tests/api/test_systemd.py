"""Goal: the server does what systemd expects of a service; the units are valid and hardened, and what they forbid is not needed. The tests act as systemd."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

import harness

UNITS = harness.ROOT / "clients/systemd"
SERVICE = (UNITS / "backpropd.service").read_text()


@pytest.fixture(autouse=True)
def default_signals():
    """The tests themselves may run under nohup, which servers would inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Manager:
    """The socket that a service reports to."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.settimeout(60)
        self.env = {"NOTIFY_SOCKET": address}

    def message(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    one = Manager(str(tmp_path / "notify") if request.param == "path" else "@backpropd-test-%d" % os.getpid())
    yield one
    one.socket.close()


def start(script, env=None, **more):
    """The program through a shell, whose process it becomes: only so is its id known before. Returns the process and the address it listens on."""
    folder = tempfile.mkdtemp(prefix="backpropd-test-")
    process = subprocess.Popen(["bash", "-c", script % {"serve": "exec %s serve --data-dir %s/data" % (harness.BACKPROPD, folder)}], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}, **more)
    return process, folder


def finish(process, folder):
    """Its standard error, when it has ended well or badly."""
    if process.poll() is None:
        process.terminate()
    _, errors = process.communicate(timeout=60)
    subprocess.run(["rm", "-rf", folder], check=True)
    assert "Sanitizer" not in errors, errors
    return errors


def test_readiness_reload_and_end(fresh, manager):
    server = fresh(env=manager.env)
    ready = manager.message()
    assert ready == {"READY": "1", "STATUS": "listening on %s:%d" % (server.host, server.port)}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    server.process.send_signal(signal.SIGHUP)
    reloading = manager.message()
    assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) >= before
    assert manager.message() == {"READY": "1"}
    assert server.stop() == 0
    stopping = manager.message()
    assert stopping["STOPPING"] == "1" and int(stopping["EXTEND_TIMEOUT_USEC"]) > 20e6


def test_a_failed_start_says_why(tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    (tmp_path / "file").write_text("")
    done = harness.run("serve", "--data-dir", tmp_path / "file", env=manager.env)
    assert done.returncode == 1 and str(tmp_path / "file") in manager.message()["STATUS"]
    manager.socket.close()


def test_nobody_listens_to_the_socket(fresh, tmp_path):
    server = fresh(env={"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert server.get("/livez").status == 200 and server.stop() == 0


def test_watchdog_is_fed(tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    process, folder = start("export WATCHDOG_PID=$$; %(serve)s --listen 127.0.0.1:0", {**manager.env, "WATCHDOG_USEC": "100000"})
    assert manager.message()["READY"] == "1"
    assert [manager.message() for _ in range(4)] == 4 * [{"WATCHDOG": "1"}]
    process.send_signal(signal.SIGTERM)
    while "STOPPING" not in manager.message():
        pass
    finish(process, folder)
    assert process.returncode == 0
    manager.socket.close()


def test_a_watchdog_of_another_process_is_not_fed(tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    process, folder = start("%(serve)s --listen 127.0.0.1:0", {**manager.env, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    assert manager.message()["READY"] == "1"
    finish(process, folder)
    assert "STOPPING" in manager.message()
    manager.socket.close()


def listening(host="127.0.0.1", kind=socket.SOCK_STREAM):
    one = socket.socket(socket.AF_INET, kind)
    one.bind((host, 0))
    if kind == socket.SOCK_STREAM:
        one.listen(64)
    return one


def activated(*given, flags="", pid="$$", count=None):
    """A server that finds these sockets open from descriptor 3 on."""
    moves = " ".join("%d<&%d" % (3 + i, os.dup(one.fileno())) for i, one in enumerate(given))
    numbers = [int(n) for n in re.findall(r"<&(\d+)", moves)]
    script = "exec %s; export LISTEN_PID=%s LISTEN_FDS=%d; %%(serve)s %s" % (moves, pid, count or len(given), flags)
    try:
        return start(script, pass_fds=numbers)
    finally:
        for number in numbers:
            os.close(number)


def test_socket_activation():
    """A client connects before the server runs, and again after a restart, and is answered both times."""
    one = listening()
    for _ in range(2):
        client = socket.create_connection(one.getsockname())
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        process, folder = activated(one)
        assert process.stdout.readline() == "backpropd listening on http://127.0.0.1:%d\n" % one.getsockname()[1]
        client.settimeout(60)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        client.close()
        assert "event=socket_given address=127.0.0.1:%d" % one.getsockname()[1] in finish(process, folder) and process.returncode == 0
    one.close()


def test_a_socket_for_another_process_is_not_taken():
    one = listening()
    process, folder = activated(one, pid="1", flags="--listen 127.0.0.1:0")
    assert not process.stdout.readline().endswith(":%d\n" % one.getsockname()[1])
    finish(process, folder)
    one.close()


@pytest.mark.parametrize("make, words", [(lambda: [listening("0.0.0.0")], "without a key"), (lambda: [listening(kind=socket.SOCK_DGRAM)], "no listening TCP socket"),
                                         (lambda: [listening(), listening()], "passed 2 sockets"), (lambda: [open("/dev/null")], "no listening TCP socket")])
def test_sockets_that_are_refused(make, words):
    given = make()
    process, folder = activated(*given)
    assert process.wait(60) == 1 and words in finish(process, folder)
    for one in given:
        one.close()


def test_job_processes_do_not_speak_for_the_server(fresh, tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    server = fresh("--workers", "1", env={**manager.env, "LISTEN_FDNAMES": "x"})
    server.upload("digits", harness.DATA / "digits.csv")
    job = server.submit(**harness.ENDLESS)["id"]
    server.wait(job, lambda j: j["progress"]["epoch"] >= 1)  # before its exec, the process still has the server's
    child, = server.children()
    with open("/proc/%d/environ" % child, "rb") as environ:
        assert b"NOTIFY_SOCKET" not in (variables := environ.read()) and b"LISTEN_FDNAMES" not in variables
    server.post("/v1/jobs/%s/cancel" % job)
    manager.socket.close()


@pytest.mark.parametrize("is_journal", [True, False])
def test_lines_carry_their_priority_for_the_journal(tmp_path, is_journal):
    reader, writer = os.pipe()
    info = os.fstat(writer)
    process = subprocess.Popen([harness.BACKPROPD, "serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data"], stdout=subprocess.PIPE, stderr=writer, text=True,
                               env={**os.environ, "JOURNAL_STREAM": "%d:%d" % (info.st_dev, info.st_ino + (not is_journal)), "BACKPROPD_NO_SUCH": "1"})
    os.close(writer)
    assert "listening" in process.stdout.readline()
    process.terminate()
    assert process.wait(60) == 0
    process.stdout.close()
    with os.fdopen(reader) as lines:
        heads = {re.match(r"(<\d>)?\d{4}-\S+ level=(\w+) ", line).groups() for line in lines}
    assert heads == ({("<6>", "info"), ("<4>", "warning")} if is_journal else {(None, "info"), (None, "warning")})


# ---- the units ----

def install(folder):
    """`make install` of the program as it is."""
    subprocess.run(["make", "-s", "-o", harness.BACKPROPD, "install", "B=" + os.path.dirname(harness.BACKPROPD), "DESTDIR=%s" % folder, "PREFIX=/opt/backpropd"],
                   cwd=harness.ROOT, check=True, capture_output=True)


@pytest.fixture
def units(tmp_path):
    """The units with the program of this build, as `make install` writes them for a prefix."""
    install(tmp_path)
    folder = tmp_path / "lib/systemd/system"
    for unit in folder.iterdir():
        text = unit.read_text()
        assert "/usr/local" not in text
        unit.write_text(text.replace("/opt/backpropd", "%s/opt/backpropd" % tmp_path))
    return folder


def test_units_are_valid(units, tmp_path):
    checked = subprocess.run(["systemd-analyze", "verify", units / "backpropd.service", units / "backpropd.socket"], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and "backpropd." not in checked.stderr, checked.stderr  # other units of the machine may have faults
    assert (tmp_path / "etc/backpropd.conf").exists() and os.access(tmp_path / "opt/backpropd/bin/backpropd", os.X_OK)


def test_install_keeps_a_configuration(units, tmp_path):
    (tmp_path / "etc/backpropd.conf").write_text("mine = 1\n")
    install(tmp_path)
    assert (tmp_path / "etc/backpropd.conf").read_text() == "mine = 1\n"


def test_unit_is_hardened(units):
    """systemd's own rating: 0 is locked in, 10 is open."""
    rated = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=18", units / "backpropd.service"], capture_output=True, text=True,
                           timeout=60)
    assert rated.returncode == 0, rated.stdout[-600:]


def test_settings_of_the_unit_are_accepted(tmp_path):
    """Its command with its configuration, and the same with every line of that configuration in use."""
    command = re.search(r"^ExecStart=\S+ (serve .*)$", SERVICE, re.M).group(1).replace("%S", str(tmp_path)).replace("/etc", str(tmp_path))
    text = (UNITS / "backpropd.conf").read_text()
    for content in (text, re.sub(r"^# (?=\w+ = )", "", text, flags=re.M)):
        (tmp_path / "backpropd.conf").write_text(content)
        done = harness.run(*command.split(), "--check-config")
        assert done.returncode == 0, done.stderr
    assert content != text


def system_calls(names):
    """The names in SystemCallFilter=, with the sets of systemd resolved."""
    found = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        lines = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
        found |= system_calls(line.strip() for line in lines[1:] if line.strip() and not line.strip().startswith("#"))
    return found


CONFINED = """
import errno, os, sys
import seccomp
filter = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
for name in sys.argv[1].split():
    try:
        filter.add_rule(seccomp.ALLOW, name)
    except (RuntimeError, OSError):
        pass  # not of this architecture
filter.load()
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_the_system_call_filter_of_the_unit_suffices():
    """A server under it starts, trains, predicts, reloads and stops; a call that is not allowed fails."""
    if harness.has_sanitizer():
        pytest.skip("sanitizers make system calls of their own")
    rules = re.findall(r"^SystemCallFilter=(~?)(.*)$", SERVICE, re.M)
    assert [sign for sign, _ in rules] == ["", "", "~"]
    names = system_calls(" ".join(text for sign, text in rules if not sign).split()) - system_calls(rules[-1][1].split())
    assert len(names) > 200 and "seccomp" in names and not {"ptrace", "mount", "io_uring_setup", "keyctl"} & names
    confined = [sys.executable, "-c", CONFINED, " ".join(sorted(names))]
    traced = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); print(libc.ptrace(0, 0, 0, 0), ctypes.get_errno())"
    assert subprocess.run([sys.executable, "-c", traced], capture_output=True, text=True, timeout=60).stdout == "0 0\n"
    assert subprocess.run([*confined, sys.executable, "-c", traced], capture_output=True, text=True, timeout=60).stdout == "-1 1\n"
    server = harness.Server(prefix=confined)
    try:
        server.train(**harness.xor(model={"name": "xor", "layers": [{"type": "dense", "units": 4}]}))
        server.predict("xor", [[0, 1]])
        server.get("/metrics")
        server.process.send_signal(signal.SIGHUP)
        harness.until(lambda: "event=reloaded" in server.log_text(), what="the reload")
        assert server.stop() == 0 and "level=error" not in server.log_text()
    finally:
        server.remove()

"""Goal: a server whose allocations fail now and then does not die, gives no wrong answer, and is well again when memory is back."""
import http.client
import json

import pytest

import harness
from harness import unique, xor

# Every n-th allocation of the server fails, n being the number in the file FAIL_EVERY (mapped; 0: none). Job processes have all the memory they want.
SHIM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static volatile unsigned char *every;
static atomic_uint calls;
__attribute__((constructor)) static void begin(void) {
    char line[512] = "";
    const char *path = getenv("FAIL_EVERY");
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : 0;
    if (fd >= 0) close(fd);
    if (!path || !memmem(line, (size_t)(n > 0 ? n : 0), "serve", 6)) return;
    fd = open(path, O_RDONLY);
    void *m = fd >= 0 ? mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (m != MAP_FAILED) every = m;
}
static int fails(void) {
    if (!every || !*every || atomic_fetch_add(&calls, 1) % *every) return 0;
    errno = ENOMEM;
    return 1;
}
void *malloc(size_t n) { return fails() ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t m) { return fails() ? NULL : __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { return fails() ? NULL : __libc_realloc(p, n); }
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return harness.preload_library(tmp_path_factory.mktemp("shim"), "memory", SHIM)


def test_allocations_fail_now_and_then(fresh, shim, tmp_path):
    every = tmp_path / "every"
    every.write_bytes(b"\0")

    def fail_every(n):
        """In place: the server has mapped the file, and to cut it would kill what reads it then."""
        with open(every, "r+b", buffering=0) as file:
            file.write(bytes([n]))

    server = fresh("--workers", "1", env={"LD_PRELOAD": str(shim), "FAIL_EVERY": str(every)})
    server.upload("iris", harness.DATA / "iris.csv")
    server.train(**{**xor(), "model": {"name": "m", "layers": [{"type": "dense", "units": 3, "activation": "tanh"}]}})
    job = server.get("/v1/jobs").json["data"][0]["id"]
    reading = [("GET", "/v1/datasets/iris", None), ("GET", "/v1/datasets/iris/rows?limit=5", None), ("GET", "/v1/datasets/iris/rows?format=csv", None),
               ("GET", "/v1/datasets/iris/statistics?target=class", None), ("GET", "/v1/models/m/versions/1", None), ("GET", "/v1/jobs/" + job, None), ("GET", "/v1/catalog", None),
               ("GET", "/v1/jobs/%s/metrics" % job, None), ("GET", "/v1/jobs/%s/events?limit=50" % job, None), ("GET", "/openapi.json", None),
               ("POST", "/v1/models/m/predict", {"instances": [[0, 1], {"x0": 1, "x1": "1"}]}), ("POST", "/v1/models/m/predict", {"inputs": {"x0": [0, 1], "x1": [1, 1]}}),
               ("POST", "/v1/models/validate", {"definition": {"layers": [{"type": "dense", "units": 3}]}, "dataset": "iris", "target": "class"})]

    def ask(method, path, body):
        try:
            return server.raw(method, path, None if body is None else json.dumps(body).encode(), {"Content-Type": "application/json"} if body is not None else {})
        except (http.client.HTTPException, ConnectionError, TimeoutError):
            return None  # the library had no memory for the connection: it is closed

    right = {(m, p, str(b)): ask(m, p, b).body for m, p, b in reading}
    answered = refused = 0
    for n in (3, 7, 20, 50, 120, 250):
        fail_every(n)
        for _ in range(6):
            for method, path, body in reading:
                answer = ask(method, path, body)
                if answer is None or answer.status >= 500:
                    refused += 1
                    assert answer is None or not answer.body or answer.json["code"] in ("overloaded", "storage", "internal"), answer
                elif answer.status == 200:
                    answered += 1
                    if "format=csv" in path:  # a stream may be cut, and the client sees that it is
                        assert right[(method, path, str(body))].startswith(answer.body)
                    else:
                        assert answer.body == right[(method, path, str(body))], (n, method, path)
                else:
                    raise AssertionError((n, method, path, answer))
            ask("POST", "/v1/datasets", {"name": unique("mem"), "records": [{"a": i, "b": str(i % 3)} for i in range(20)]})
            ask("POST", "/v1/models", {"name": unique("mem"), "layers": [{"type": "dense", "units": 2}]})
            ask("POST", "/v1/jobs", xor())
        fail_every(0)
        assert server.process.poll() is None, server.log_text()[-2000:]
    assert answered > 30 and refused > 30, (answered, refused)
    fail_every(0)
    for (method, path, body), expected in zip(reading, right.values()):
        assert ask(method, path, body).body == expected
    for made in server.all_pages("/v1/models"):  # nothing was stored in part
        if made["name"].startswith("mem"):
            assert made["definition"] == {"layers": [{"type": "dense", "units": 2}]}
    for made in server.all_pages("/v1/datasets"):
        if made["name"].startswith("mem"):
            assert made["rows"] == 20 and [c["name"] for c in made["columns"]] == ["a", "b"]
    for made in server.all_pages("/v1/jobs"):
        assert server.wait(made["id"])["status"] == "succeeded", made

"""streams.py BUILD [PROGRAM] - `make bench-streams`: the time of GET /livez and of a prediction with 0, 500 and 1000 open event streams of a job while two jobs train.

Prints a table in Markdown. The load comes from BUILD/bench/streams on the same machine."""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
import harness  # noqa: E402

SECONDS = 10


def main():
    build = pathlib.Path(sys.argv[1])
    if len(sys.argv) > 2:
        harness.BACKPROPD = sys.argv[2]
    server = harness.Server("--workers", "2", "--connections-max", "4000")
    try:
        server.upload("digits", harness.DATA / "digits.csv")
        server.upload("iris", harness.DATA / "iris.csv")
        server.train(model={"name": "m", "layers": [{"type": "dense", "units": 16, "activation": "relu"}]}, dataset="iris", target="class", epochs=5)
        jobs = [server.submit(**harness.ENDLESS)["id"] for _ in range(2)]
        for job in jobs:
            server.wait(job, lambda j: j["progress"]["epoch"] >= 1)
        print("| open streams | events/s received | livez p50 ms | p99 | max | predict p50 ms | p99 | max |\n|---|---|---|---|---|---|---|---|")
        body = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2]]})
        for streams in (0, 500, 1000):
            done = subprocess.run([build / "bench" / "streams", str(server.port), str(streams), str(SECONDS), "/v1/jobs/%s/events" % jobs[0], "/v1/models/m/predict", body],
                                  capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            got = json.loads(done.stdout)
            assert got["streams"] == streams and got["ended"] == 0, got
            print("| %d | %d | %s |" % (streams, got["events_per_second"], " | ".join("%.2f" % got[name][key] for name in ("livez", "predict")
                                                                                      for key in ("p50_ms", "p99_ms", "max_ms"))), flush=True)
        for job in jobs:
            server.post("/v1/jobs/%s/cancel" % job)
            server.wait(job)
    finally:
        server.remove()


main()

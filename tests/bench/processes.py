"""Speed-up of one job over 1, 2 and 4 processes on this machine, as its training seconds: `python3 tests/bench/processes.py`. Needs openmpi-bin. Prints a table for
README.md."""
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "api"))
import harness  # noqa: E402

ROUNDS = 3
DENSE = [{"type": "dense", "units": n, "activation": "relu"} for n in (1024, 1024, 512)]
CONVOLUTION = [{"type": "reshape", "target_shape": [8, 8, 1]}] + [{"type": "conv2d", "filters": 32, "kernel_size": 3, "padding": "same", "activation": "relu"}] * 2 + [
    {"type": "flatten"}]
JOBS = {
    "dense 64-1024-1024-512-10, batch 512": {"model": {"layers": DENSE}, "batch_size": 512, "epochs": 20},
    "dense 64-1024-1024-512-10, batch 64": {"model": {"layers": DENSE}, "batch_size": 64, "epochs": 5},
    "two convolutions of 32, batch 256": {"model": {"layers": CONVOLUTION}, "batch_size": 256, "epochs": 10},
}


def seconds(server, job, **more):
    found = []
    for _ in range(ROUNDS):
        ended = server.train(dataset="digits", target="digit", seed=1, **{**job, **more})
        found.append(ended["training_seconds"])
    waits = [e["data"] for e in server.all_pages("/v1/jobs/%s/events" % ended["id"]) if e["data"] and "communication_seconds" in e["data"]]
    return statistics.median(found), waits[0]["communication_seconds"] if waits else 0


def main():
    server = harness.Server("--workers", "1")
    server.upload("digits", harness.DATA / "digits.csv")
    print("| network | threads and processes | seconds | faster | waiting for sums, seconds |\n|---|---|---|---|---|")
    for name, job in JOBS.items():
        alone, _ = seconds(server, job)
        print("| %s | 1 thread | %.2f | | |" % (name, alone))
        for text, more in (("2 threads", {"threads": 2}), ("2 processes", {"processes": 2}), ("4 processes", {"processes": 4})):
            took, waited = seconds(server, job, **more)
            print("| | %s | %.2f | %.2fx | %s |" % (text, took, alone / took, "%.2f" % waited if waited else ""), flush=True)
    server.stop()
    server.remove()


if __name__ == "__main__":
    main()

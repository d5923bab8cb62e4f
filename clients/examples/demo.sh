#!/usr/bin/env bash
# demo.sh BACKPROPD - the tour of the README on real data: 344 penguins of three species. Holds a fifth of the rows back, uploads the rest, defines a model,
# trains it over HTTP while the loss is drawn, predicts the rows held back. KEEP=1 leaves the server running.
set -euo pipefail
backpropd=$1
here=$(cd "$(dirname "$0")" && pwd)
data=$here/penguins.csv
work=$(mktemp -d)
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' plain=$'\e[0m'; else bold='' dim='' green='' plain=''; fi
server=
cleanup() {
    if [ -n "$server" ] && [ "${KEEP:-}" != 1 ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    if [ "${KEEP:-}" != 1 ]; then rm -rf "$work"; fi
}
trap cleanup EXIT

say() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
# Prints a curl line as a person would type it, runs it, prints the answer (shortened) and keeps it in $answer.
run() {
    local shown=$1
    shift
    printf '%s$ %s%s\n' "$dim" "$shown" "$plain"
    answer=$(curl -sS "$@")
    if [ ${#answer} -gt 420 ]; then printf '%s ...\n' "${answer:0:420}"; else printf '%s\n' "$answer"; fi
}
field() { python3 -c 'import json,sys; v=json.load(sys.stdin)
for k in sys.argv[1].split("."): v=v[int(k)] if isinstance(v,list) else v[k]
print(v)' "$1" <<<"$answer"; }

say "1. Start the server"
printf '%s$ backpropd serve --data-dir %s --listen 127.0.0.1:0%s\n' "$dim" "$work/data" "$plain"
if [ "${KEEP:-}" = 1 ]; then
    nohup "$backpropd" serve --data-dir "$work/data" --listen 127.0.0.1:0 >"$work/out" 2>"$work/log" </dev/null &
else
    "$backpropd" serve --data-dir "$work/data" --listen 127.0.0.1:0 >"$work/out" 2>"$work/log" </dev/null &
fi
server=$!
for _ in $(seq 100); do
    grep -q listening "$work/out" 2>/dev/null && break
    kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.05
done
cat "$work/out"
url=$(sed -n 's/^backpropd listening on //p' "$work/out")

# Every fifth row is held back: the server never sees it.
awk 'NR == 1 || NR % 5 != 0' "$data" >"$work/train.csv"
awk 'NR == 1 || NR % 5 == 0' "$data" >"$work/test.csv"

say "2. Upload the data ($(($(wc -l <"$work/train.csv") - 1)) rows; $(($(wc -l <"$work/test.csv") - 1)) are held back)"
run "curl -X POST --data-binary @train.csv -H 'Content-Type: text/csv' '$url/v1/datasets?name=penguins'" \
    -X POST --data-binary "@$work/train.csv" -H 'Content-Type: text/csv' "$url/v1/datasets?name=penguins"

say "3. Define a model"
definition='{"name":"penguins","layers":[{"type":"dense","units":32,"activation":"relu"},{"type":"dense","units":16,"activation":"relu"}]}'
run "curl $url/v1/models -H 'Content-Type: application/json' -d '$definition'" "$url/v1/models" -H 'Content-Type: application/json' -d "$definition"

say "4. Train it"
job='{"model":"penguins","dataset":"penguins","target":"species","epochs":60,"seed":7}'
run "curl $url/v1/jobs -H 'Content-Type: application/json' -d '$job'" "$url/v1/jobs" -H 'Content-Type: application/json' -d "$job"
id=$(field id)

say "5. Watch the loss fall"
printf '%s$ curl -N -H '\''Accept: text/event-stream'\'' %s/v1/jobs/%s/events%s\n' "$dim" "$url" "$id" "$plain"
curl -sN -H 'Accept: text/event-stream' "$url/v1/jobs/$id/events" | python3 -c '
import json, sys
top = None
for line in sys.stdin:
    if not line.startswith("data: "): continue
    event = json.loads(line[6:])
    data = event["data"] or {}
    if event["type"] == "metrics":
        top = top or data["loss"]
        e = data["epoch"]
        if e <= 3 or e % 6 == 0:
            bar = "#" * max(1, round(48 * data["loss"] / top))
            print("  epoch %3d  loss %.4f  val_loss %.4f  %s" % (e, data["loss"], data["val_loss"], bar), flush=True)
    elif event["type"] == "end":
        print("  %s" % data["status"])
'
run "curl $url/v1/jobs/$id" "$url/v1/jobs/$id"
[ "$(field status)" = succeeded ]

say "6. Predict the rows held back"
python3 - "$work/test.csv" "$work/request.json" "$work/truth" <<'PY'
import csv, json, sys
rows = list(csv.DictReader(open(sys.argv[1])))
numbers = {"bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"}
instances = [{k: (float(v) if k in numbers else v) if v else None for k, v in r.items() if k != "species"} for r in rows]
json.dump({"instances": instances}, open(sys.argv[2], "w"))
open(sys.argv[3], "w").write("\n".join(r["species"] for r in rows))
PY
run "curl $url/v1/models/penguins/predict -H 'Content-Type: application/json' -d @request.json" "$url/v1/models/penguins/predict" -H 'Content-Type: application/json' -d "@$work/request.json"
printf '%s' "$answer" >"$work/answer.json"
python3 - "$work/answer.json" "$work/truth" "$work/request.json" "$green" "$plain" <<'PY'
import json, sys
predictions = json.load(open(sys.argv[1]))["predictions"]
truth = open(sys.argv[2]).read().split("\n")
instances = json.load(open(sys.argv[3]))["instances"]
right = sum(p["label"] == t for p, t in zip(predictions, truth))
print("\n%sAccuracy on the %d rows held back: %.1f%%%s" % (sys.argv[4], len(truth), 100 * right / len(truth), sys.argv[5]))
for i in (0, len(truth) // 2, len(truth) - 1):
    p = predictions[i]
    x = instances[i]
    print("  bill %s x %s mm, %s g, %s: %s (%.1f%%), it is %s" % (x["bill_length_mm"], x["bill_depth_mm"], x["body_mass_g"], x["island"], p["label"], 100 * p["probabilities"][p["label"]], truth[i]))
PY
if [ "${KEEP:-}" = 1 ]; then
    say "The server goes on at $url (process $server, data in $work/data); end it with: kill $server"
else
    say "Done. Run it yourself: $backpropd serve   (make demo KEEP=1 leaves this server running)"
fi

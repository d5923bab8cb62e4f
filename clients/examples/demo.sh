#!/usr/bin/env bash
# demo.sh BACKPROPD - the tour of the README on real data: 344 penguins of three species. Holds out a fifth of the rows, uploads the rest, defines a model,
# trains it over HTTP while it draws the loss, predicts the held-out rows. KEEP=1 leaves the server running.
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
# Prints a curl line as a user would type it, runs it, prints the response (shortened) and keeps it in $answer.
run() {
    local shown=$1
    shift
    printf '%s$ %s%s\n' "$dim" "$shown" "$plain"
    answer=$(curl -sS "$@")
    if [ ${#answer} -gt 420 ]; then printf '%s ...\n' "${answer:0:420}"; else printf '%s\n' "$answer"; fi
}
field() { jq -r ".$1" <<<"$answer"; }

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

# Every fifth row is held out: the server never sees it.
awk 'NR == 1 || NR % 5 != 0' "$data" >"$work/train.csv"
awk 'NR == 1 || NR % 5 == 0' "$data" >"$work/test.csv"

say "2. Upload the data ($(($(wc -l <"$work/train.csv") - 1)) rows; $(($(wc -l <"$work/test.csv") - 1)) are held out)"
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
top=
curl -sN -H 'Accept: text/event-stream' "$url/v1/jobs/$id/events" | sed -un 's/^data: //p' |
    jq --unbuffered -r 'select(.type == "metrics" or .type == "end") | [.type, .data.epoch // .data.status, .data.loss // 0, .data.val_loss // 0] | @tsv' |
    while IFS=$'\t' read -r type epoch loss val_loss; do
        if [ "$type" = end ]; then printf '  %s\n' "$epoch"; break; fi
        top=${top:-$loss}
        if [ "$epoch" -le 3 ] || [ $((epoch % 6)) -eq 0 ]; then
            awk -v e="$epoch" -v l="$loss" -v v="$val_loss" -v t="$top" 'BEGIN {
                bar = ""; n = int(48 * l / t + 0.5); if (n < 1) n = 1
                for (i = 0; i < n; i++) bar = bar "#"
                printf "  epoch %3d  loss %.4f  val_loss %.4f  %s\n", e, l, v, bar }'
        fi
    done
run "curl $url/v1/jobs/$id" "$url/v1/jobs/$id"
[ "$(field status)" = succeeded ]

say "6. Predict the held-out rows"
# The CSV as instances: numbers as numbers, empty cells as null, without the target.
jq -Rn '[inputs | split(",")] | .[0] as $names | {instances: [.[1:][] | [$names, .] | transpose | map(select(.[0] != "species") | {key: .[0], value: (.[1] | tonumber? // if . == "" then null else . end)}) | from_entries]}' \
    "$work/test.csv" >"$work/request.json"
run "curl $url/v1/models/penguins/predict -H 'Content-Type: application/json' -d @request.json" "$url/v1/models/penguins/predict" -H 'Content-Type: application/json' -d "@$work/request.json"
printf '%s' "$answer" >"$work/answer.json"
cut -d, -f1 "$work/test.csv" | tail -n +2 | jq -Rn '[inputs]' >"$work/truth.json"
# Each prediction beside its row and the truth.
jq -n --slurpfile answer "$work/answer.json" --slurpfile truth "$work/truth.json" --slurpfile request "$work/request.json" \
    '[[$answer[0].predictions, $truth[0], $request[0].instances] | transpose[] | {label: .[0].label, p: .[0].probabilities[.[0].label], truth: .[1], row: .[2]}]' >"$work/checked.json"
printf '\n%sAccuracy on the %s held-out rows: %s%%%s\n' "$green" "$(jq length "$work/checked.json")" \
    "$(jq '[.[] | select(.label == .truth)] as $right | 1000 * ($right | length) / length | round / 10' "$work/checked.json")" "$plain"
jq -r '[.[1], .[length / 2 | floor], .[length - 1]][] | "  bill \(.row.bill_length_mm) x \(.row.bill_depth_mm) mm, \(.row.body_mass_g) g, \(.row.island): \(.label) (\(.p * 1000 | round / 10)%), it is \(.truth)"' "$work/checked.json"
if [ "${KEEP:-}" = 1 ]; then
    say "The server keeps running at $url (process $server, data in $work/data); stop it with: kill $server"
else
    say "Done. Run it yourself: $backpropd serve   (make demo KEEP=1 leaves this server running)"
fi

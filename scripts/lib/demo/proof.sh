# What the demo proves, and how it says so. Sourced.

# In bytes; the last one takes the gateways through splice.
readonly sizes=(1 65536 67108864)

# begin_proof WHAT TEXT: the headline of what is proved next.
begin_proof() {
    printf '\n%-15s %s\n' "$1" "$2"
}

# say LABEL TEXT...: one line of a proof.
say() {
    printf '  %-13s %s\n' "$1" "${*:2}"
}

# prove_mode MODE PORT WAY COUNT COUNT: that sessions of this mode arrive whole at the right server,
# and that the gateways of dc1 and dc2 counted as many for each of them as are given.
prove_mode() {
    local mode=$1 port=$2 way=$3 wanted="$((${#sizes[@]} * $4)) $((${#sizes[@]} * $5))"
    local before=() digests began
    before=("$(routed 1)" "$(routed 2)")
    begin_proof "mode $mode" "$way"
    say "Consul says" "dial $(value endpoints 0 address <"$work/$mode.json"):$(
        value endpoints 0 port <"$work/$mode.json"), SNI $(value sni <"$work/$mode.json")"
    : >"$work/sessions.jsonl"
    began=${EPOCHREALTIME/./}
    digests=$(python3 "$helpers/exchange.py" "$net.1.30" "$port" "${sizes[@]}" 2>&1) ||
        fail "mode $mode: ${digests##*$'\n'}"
    local took_ms=$(((${EPOCHREALTIME/./} - began) / 1000))
    await 10 "mode $mode: Envoy did not see $server_uri" \
        saw "$mode" server_uri "$server_uri" "${#sizes[@]}"
    say "server" "$server_uri"
    say "bytes" "1 B, 64 KiB and 64 MiB came back as sent (SHA-256 $(tail -n 1 <<<"$digests")...," \
        "$took_ms ms)"
    await 5 "mode $mode: the gateways of dc1 and dc2 did not count $wanted sessions" \
        counted "${before[0]}" "${before[1]}" "$wanted"
    say "counted" "gateway dc1: ${wanted% *}, gateway dc2: ${wanted#* } of ${#sizes[@]} sessions"
}

# routed NUMBER: the sessions that a gateway forwarded since its start.
routed() {
    http GET "http://$net.$1.20:19000/stats" | value totals routed
}

# counted BEFORE BEFORE COUNTS: whether the gateways' counters went up by just that.
counted() {
    local counts
    counts="$(($(routed 1) - $1)) $(($(routed 2) - $2))"
    echo "$counts"
    [[ $counts == "$3" ]]
}

# saw MODE FIELD TEXT COUNT: whether the last COUNT sessions in the dialing sidecar's log are of
# this mode and have this text in this field.
saw() {
    python3 - "$work/sessions.jsonl" "$@" <<'PYTHON'
import json, sys
path, mode, field, text, count = sys.argv[1:]
with open(path) as log:
    sessions = [json.loads(line) for line in log.read().replace("\0", "").splitlines()]
print(*(f"its log has {session}" for session in sessions[-1:]))
wanted = [each for each in sessions if each["mode"] == mode and text in (each[field] or "")]
sys.exit(not (len(sessions) == len(wanted) == int(count)))
PYTHON
}

# An intention that denies: the service's sidecar refuses, in TLS, and the gateways pass that on.
prove_denial() {
    local intentions=http://$net.1.1:8500/v1/connect/intentions id
    begin_proof intention "shop may not reach echo (tried in mode local)"
    id=$(http POST "$intentions" --data \
        '{"SourceName": "shop", "DestinationName": "echo", "Action": "deny"}' | value ID)
    await 30 "the intention did not reach dc2" is_refused 9001
    await 10 "Envoy did not see the TLS alert of the service's sidecar" \
        saw local failure SSLV3_ALERT_BAD_CERTIFICATE 1
    say "Envoy saw" "TLS alert 42, bad_certificate: from echo's sidecar, through both gateways"
    http DELETE "$intentions/$id" >/dev/null
    await 30 "echo was not reached again after the intention was removed" \
        python3 "$helpers/exchange.py" "$net.1.30" 9001 1
    say "removed" "shop reaches echo again"
}

# is_refused PORT: whether a session through the dialing sidecar ends without an answer; its log
# has that one only.
is_refused() {
    : >"$work/sessions.jsonl"
    python3 "$helpers/exchange.py" "$net.1.30" "$1" closed
}

# prove_refusal NAME: that the gateway of dc1 refuses a name with an alert, and says why.
prove_refusal() {
    local name=$1 seen answer
    begin_proof "name refused" "$name"
    seen=$(dial "$net.1.20:8443" "$name" </dev/null 2>&1 || true)
    if [[ $seen != *"SSL alert number 112"* ]]; then
        fail "the gateway of dc1 did not refuse $name with alert 112: $(tail -n 1 <<<"$seen")"
    fi
    say "client saw" "TLS alert 112, unrecognized_name"
    answer=$(explain 1 "$name")
    if [[ $(value refused <<<"$answer") == null ]]; then
        fail "the gateway of dc1 says that it would route $name"
    fi
    say "gateway says" "$(value refused <<<"$answer"): $(value because <<<"$answer")"
}

# dial ADDRESS NAME: a TLS session as shop; standard input is sent.
dial() {
    timeout 20 openssl s_client -quiet -connect "$1" -servername "$2" -cert "$work/leaf.pem" \
        -key "$work/leaf.key" -verify_quiet
}

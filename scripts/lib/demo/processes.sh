# Processes that end with the script that begins them, whatever ends it, and waiting for what they
# do. Sourced; `$program` is the name to complain in.
#
# Each is in a session of its own, so that Ctrl-C reaches it only through clean_up; and the kernel
# ends it should the script be killed outright.

declare -a pids=() names=()

# begin NAME COMMAND...: starts it with its output in $logs/NAME.log.
begin() {
    local name=$1
    shift
    setsid setpriv --pdeathsig KILL "$@" >"$logs/$name.log" 2>&1 </dev/null &
    pids+=("$!") names+=("$name")
}

# supervised COMMAND...: runs a command or function to its end, in a process group of its own, so
# that the shell can be interrupted meanwhile and clean_up ends all of it.
supervised() {
    set -m
    (set -e; "$@") </dev/null &
    pids+=("$!") names+=("$1")
    set +m
    wait "$!"
    unset 'pids[-1]' 'names[-1]'
}

# crash NAME: ends one of them as a crash would, at once and without a word.
crash() {
    local at
    for at in "${!pids[@]}"; do
        if [[ ${names[at]} == "$1" ]]; then
            kill -KILL -- "-${pids[at]}"
            wait "${pids[at]}" 2>/dev/null || true
            unset 'pids[at]' 'names[at]'
        fi
    done
    pids=("${pids[@]}") names=("${names[@]}")
}

# Ends all of them, last first: politely, then not.
end_all() {
    local at pid
    for ((at = ${#pids[@]} - 1; at >= 0; at--)); do
        kill -TERM -- "-${pids[at]}" 2>/dev/null || true
    done
    for pid in "${pids[@]}"; do
        for ((at = 0; at < 60; at++)); do
            if ! kill -0 "$pid" 2>/dev/null; then break; fi
            sleep 0.05
        done
        # The whole group, should a child have outlived its parent.
        kill -KILL -- "-$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    pids=() names=()
}

# Fails if a process that should run has ended.
all_run() {
    local at
    for at in "${!pids[@]}"; do
        if ! kill -0 "${pids[at]}" 2>/dev/null; then
            tail -n 5 "$logs/${names[at]}.log" >&2
            fail "${names[at]} has ended; above are the last lines of its log"
        fi
    done
}

# await SECONDS SENTENCE COMMAND...: until the command succeeds; else fails with the sentence and
# the command's last words.
await() {
    local seconds=$1 sentence=$2 until words
    shift 2
    until=$((SECONDS + seconds))
    until words=$("$@" 2>&1); do
        all_run
        if ((SECONDS >= until)); then
            fail "$sentence within $seconds s${words:+: $(tail -n 1 <<<"$words")}"
        fi
        sleep 0.1
    done
}

# fail SENTENCE: ends the script with the reason.
fail() {
    printf '\n%s: %s\n' "$program" "$*" >&2
    exit 1
}

# http METHOD URL [CURL-ARGUMENT...]: the body of a good answer; else what was wrong, and failure.
http() {
    local method=$1 url=$2
    shift 2
    curl --silent --show-error --fail-with-body --noproxy '*' --max-time 10 \
        --request "$method" "$url" "$@"
}

# value KEY...: the value in the JSON on standard input that the keys lead to.
value() {
    python3 -c '
import json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    value = value[int(key)] if isinstance(value, list) else value[key]
print(value if isinstance(value, str) else json.dumps(value))' "$@"
}

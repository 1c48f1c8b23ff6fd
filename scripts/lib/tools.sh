# What the scripts that install tools share. Sourced; `$program` is the name to complain in.

# complain SENTENCE: the reason, for people.
complain() {
    echo "$program: $*" >&2
}

# Consul 1.8.7 makes this folder, always empty, whenever it starts. Whoever finds it missing before
# starting Consul removes it after.
readonly consul_litter=/tmp/consul-test

# need PROGRAM:PACKAGE...: sees that programs are there; as root on Debian, installs what is not.
need() {
    local pair missing=()
    for pair in "$@"; do
        if ! PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null; then
            missing+=("${pair##*:}")
        fi
    done
    if ((${#missing[@]})); then install_packages "${missing[@]}"; fi
}

# install_packages PACKAGE...: from Debian, as root; else says what to install.
install_packages() {
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        complain "missing here: $*; install it (apt install $*), or run this as root on Debian"
        return 69
    fi
    local log
    echo "$program: installing $*" >&2
    if ! log=$(timeout 120 apt-get update -q 2>&1 &&
        DEBIAN_FRONTEND=noninteractive timeout 300 \
            apt-get install -qy --no-install-recommends "$@" 2>&1); then
        tail -n 5 <<<"$log" >&2
        complain "apt-get did not install $*; the lines above say why"
        return 69
    fi
}

# owned_by_one DIR: waits until nobody else installs there; held until this script ends.
owned_by_one() {
    if ! mkdir -p "$1" 2>/dev/null || [[ ! -w $1 ]]; then
        complain "no right to write $1; name a folder that is yours: $program DIR"
        return 77
    fi
    exec {owned}>"$1/.lock"
    if ! flock -w 300 "$owned"; then
        complain "someone else has been installing to $1 for 300 s; end that first"
        return 75
    fi
}

# venv DIR PACKAGE==VERSION...: a Python environment of its own (the system's belongs to Debian)
# with just these packages. What is there already is not asked for again.
venv() {
    local folder=$1 package log
    shift
    need python3:python3
    if [[ ! -x $folder/bin/pip ]]; then
        python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
        rm -rf "$folder"
        log=$(timeout 120 python3 -m venv "$folder" 2>&1) || {
            tail -n 3 <<<"$log" >&2
            complain "python3 -m venv $folder failed; the lines above say why"
            return 69
        }
    fi
    for package in "$@"; do
        if [[ -e $folder/has-$package ]]; then continue; fi
        log=$(timeout 240 "$folder/bin/pip" install --quiet --disable-pip-version-check \
            --only-binary :all: "$package" 2>&1) || {
            tail -n 3 <<<"$log" >&2
            complain "pip did not get $package; the lines above say why (no network, no mirror?)"
            return 69
        }
        touch "$folder/has-$package"
    done
}

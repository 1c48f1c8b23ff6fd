# Packages of Debian bullseye, from where this machine gets its own, verified by apt as any other.
# Sourced after tools.sh; `$staging` is a folder that is removed in the end.

# bullseye deb|deb-src: sets `$source` to a file for apt that names bullseye and nothing else.
bullseye() {
    mkdir -p "$staging/lists/partial" "$staging/cache/archives/partial"
    # Both forms of apt's source files; the name tells apt which it is.
    deb822_source "$1" >"$staging/bullseye.sources"
    one_line_source "$1" >"$staging/bullseye.list"
    source=$staging/bullseye.sources
    if [[ ! -s $source ]]; then source=$staging/bullseye.list; fi
    if [[ ! -s $source ]]; then
        complain "no source of Debian packages in /etc/apt names a mirror to take Consul from"
        return 69
    fi
}

# The first stanza for Debian's own packages of this release, with bullseye in place of it.
deb822_source() {
    local files=()
    shopt -s nullglob
    files=(/etc/apt/sources.list.d/*.sources)
    shopt -u nullglob
    if ((${#files[@]} == 0)); then return; fi
    # Stanzas end with an empty line; a file may end without one.
    for file in "${files[@]}"; do
        cat "$file"
        echo
    done | awk -v RS= -v type="$1" '
        /(^|\n)Types:[^\n]*deb([ \n]|$)/ && /(^|\n)Components:[^\n]*main/ &&
        !/(^|\n)Enabled: *no/ && /(^|\n)Suites: *(stable|oldstable|bullseye|bookworm|trixie)/ &&
        !/(^|\n)Suites: *[a-z]+-security/ {
            gsub(/(^|\n)#[^\n]*/, "")
            sub(/^\n/, "")
            gsub(/(^|\n)Types:[^\n]*/, "\nTypes: " type)
            gsub(/(^|\n)Suites:[^\n]*/, "\nSuites: bullseye")
            gsub(/(^|\n)Components:[^\n]*/, "\nComponents: main")
            sub(/^\n/, "")
            print
            exit
        }'
}

# The same from one-line sources: deb [options] URI SUITE COMPONENT...
one_line_source() {
    local files=()
    shopt -s nullglob
    files=(/etc/apt/sources.list.d/*.list)
    shopt -u nullglob
    if [[ -r /etc/apt/sources.list ]]; then files+=(/etc/apt/sources.list); fi
    local before='^deb +(\[[^]]*\] +)?([^ ]+) +(stable|oldstable|bullseye|bookworm|trixie)'
    cat /dev/null "${files[@]}" |
        sed -nE "s!$before( .*)? main( .*)?\$!$1 \1\2 bullseye main!p" | sed -n 1p
}

# bounded_apt SECONDS COMMAND...: apt-get with this source only, and all its files in staging.
bounded_apt() {
    local seconds=$1 log options=()
    shift
    options=(-q -o "Dir::Etc::sourcelist=$source" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$staging/lists" -o "Dir::Cache=$staging/cache"
        -o Acquire::Languages=none -o Acquire::Retries=2)
    # The user that apt downloads as may not be able to enter this folder.
    if ((EUID == 0)); then options+=(-o APT::Sandbox::User=root); fi
    if ! log=$(timeout "$seconds" apt-get "${options[@]}" "$@" 2>&1 </dev/null); then
        tail -n 5 <<<"$log" >&2
        complain "apt-get $1 failed or took more than $seconds s; the lines above say why"
        return 69
    fi
}

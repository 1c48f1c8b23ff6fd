# The defects of tests/mutants/: each patch plants one, and the tests that it names must fail.
# Sourced by scripts/test.
#
# A patch begins with two lines:
#   # defect: a sentence that says what is wrong
#   # tests: arguments for cargo test

run_mutants() {
    local patch
    tree=$scratch/tree
    # One tree and one target folder for all, so that each build is an increment.
    export CARGO_TARGET_DIR=$PWD/target/mutants
    mkdir -p "$tree"
    git ls-files -z --cached --others --exclude-standard | tar --null -cT - | tar -x -C "$tree"
    declare -gA sound=()
    for patch in "$PWD"/tests/mutants/*.patch; do
        part "$(basename "$patch" .patch)" 600 caught "$patch"
    done
    unset CARGO_TARGET_DIR
}

# caught PATCH: succeeds if the tests fail with the patch, and only with it.
caught() {
    local patch=$1 words code=0
    words=$(sed -n 's/^# tests: //p' "$patch")
    if [[ -z $words ]]; then
        echo "$patch: no line '# tests: ...'"
        return 1
    fi
    cd "$tree"
    # As many words as the line has.
    # shellcheck disable=SC2086
    set -- $words
    if ! sound "$words" "$@"; then
        echo "the tests fail without the defect already: cargo test $words"
        return 1
    fi
    git apply "$patch" || return 1
    if ! cargo test --quiet --no-run "$@"; then
        git apply -R "$patch"
        echo "the defect does not compile"
        return 1
    fi
    timeout 240 cargo test --quiet "$@" >"$scratch/mutant" 2>&1 || code=$?
    git apply -R "$patch"
    if ((code == 0)); then
        sed -n 's/^# defect: /missed: /p' "$patch"
        return 1
    fi
    echo "caught, by: $(grep -E '^    [a-z_:0-9]+$' "$scratch/mutant" | sort -u | tr -s '\n ' ' ')"
}

# sound WORDS ARGUMENTS...: whether the tests pass without a defect; asked once for each.
sound() {
    local key
    key=$scratch/sound-$(cksum <<<"$1" | tr ' ' -)
    shift
    if [[ ! -e $key ]]; then
        cargo test --quiet "$@" >"$scratch/sound" 2>&1 || { tail -n 50 "$scratch/sound"; return 1; }
        touch "$key"
    fi
}

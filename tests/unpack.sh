# Sourced by `run` and `cross`: Debian packages as plain folders. Nothing is installed, no service is started, no root
# is needed, and packages that would conflict with what the machine has can stand beside it.

# unpack FOLDER FOLLOW PACKAGE...: downloads and unpacks the packages into FOLDER, once, whoever else wants the same at the
# same time; of what they depend on, only what matches the regular expression FOLLOW. With `fresh_lists` set, of the version
# that Debian has today, even if the machine's package lists are older.
unpack() {
    [[ -e $1/.complete ]] && return
    mkdir -p "$(dirname "$1")" && (flock 9 && { [[ -e $1/.complete ]] || unpack_now "$@" 9>&-; }) 9>"$1.lock"
}

unpack_now() {
    local folder=$1 follow=$2 package lists=(); shift 2
    command -v apt-get dpkg >/dev/null || { echo "no apt and dpkg here; install by hand: $*" >&2; return 1; }
    rm -rf "$folder" && mkdir -p "$folder"/deb "$folder"/apt/{lists/partial,cache/archives/partial} || return
    # Lists of our own, which anyone may fetch.
    local own=(-o "Dir::State::Lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt/cache" -o "Debug::NoLocking=1")
    [[ -n ${fresh_lists:-} ]] && apt_in "$folder" "${own[@]}" update && lists=("${own[@]}")
    while (($#)); do
        if ! apt_in "$folder/deb" "${lists[@]}" download "$@"; then
            # The machine has no package lists yet, or old ones.
            ((${#lists[@]} == 0)) || return 1
            lists=("${own[@]}")
            apt_in "$folder" "${lists[@]}" update || return
            continue
        fi
        set --
        for package in "$folder"/deb/*.deb; do
            [[ -e $package ]] || continue
            # shellcheck disable=SC2046 # a list of package names
            set -- "$@" $(dependencies "$package" | grep -xE "$follow" || true)
            dpkg -x "$package" "$folder" && rm "$package" || return
        done
    done
    rm -rf "$folder"/deb "$folder"/apt
    touch "$folder/.complete"
}

# apt_in FOLDER ARGUMENT...: apt-get in FOLDER, where its own sandbox user could not write.
apt_in() { (cd "$1" && apt-get -q -o APT::Sandbox::User= "${@:2}" >&2); }

# dependencies FILE: names of the packages it depends on, without versions.
dependencies() { dpkg-deb -f "$1" Depends | tr ',' '\n' | sed 's/^ *//; s/[ (:].*//'; }

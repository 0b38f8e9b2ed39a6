# up FLAG...: starts an agent, and waits until it says that it runs; fails if it ends before that. `$agent` is its process.
up() {
    rm -f printed pid
    timeout --foreground 60 sh -c 'echo $$ >pid; exec serf agent "$@"' sh \
        -node=n1 -bind="$n1" -rpc-addr="$rpc1" "$@" >printed 2>&1 &
    job=$!
    until grep -aqs '^==> Log data' printed; do
        kill -0 "$job" 2>/dev/null || return
        sleep 0.02
    done
    agent=$(cat pid)
}

# printed: what the agent has printed but for its log and, of the banner, what no agent of ours compresses.
printed() {
    grep -av -e '^    20[0-9][0-9]/' -e '^    Message Compression' printed
}

# down: ends the agent, and shows what it has printed: its exit code as well if it has ended by itself.
down() {
    if kill -0 "$job" 2>/dev/null; then
        kill -KILL "$agent"
        wait "$job" 2>/dev/null
        printed
    else
        ended
    fi
}

# ended [SIGNAL]: waits until the agent ends, by this signal or by itself, and shows what it has printed, and its exit code.
ended() {
    # Go's agent listens for signals only after it has said that it runs.
    [ $# = 0 ] || { serf info >/dev/null; kill -"$1" "$agent"; }
    code=0
    # Whether the shell says "Killed" is chance; the code tells it.
    wait "$job" 2>/dev/null || code=$?
    printed
    echo "exit code of the agent: $code"
}

# tries FLAG...: whether an agent starts with these.
tries() {
    up "$@"
    down
}

# on NUMBER: agents that a line starts are at this place, and commands go there.
on() {
    eval "n1=\$n$1 rpc1=\$rpc$1"
    export SERF_RPC_ADDR="$rpc1"
}

# section NAME: a section of `serf info`.
section() {
    serf info | sed -n "/^$1:/,/^[a-z]/p" | grep '^	'
}

# eventually COMMAND...: repeats it until it succeeds.
eventually() {
    until "$@" >/dev/null 2>&1; do sleep 0.05; done
}

# The test programs that drive commands: what AddressSanitizer and valgrind look at.

tests() {
    local names=("$@")
    if [ $# = 0 ]; then
        names=(ask commands digests drops futures integrity misbehaviour ordinary_memory outages ownership workers)
    fi
    printf -- '--test %s ' "${names[@]}"
}

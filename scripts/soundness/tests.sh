# The test programs that drive commands: what AddressSanitizer and valgrind look at.

tests() {
    local names=("$@")
    if [ $# = 0 ]; then
        names=(commands drops integrity misbehaviour ordinary_memory ownership workers)
    fi
    printf -- '--test %s ' "${names[@]}"
}

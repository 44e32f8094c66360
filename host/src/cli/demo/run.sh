#!/bin/sh
# Prints TAP.
. ./src/slug.sh
bad=0
check() {
    if [ "$(slug "$2")" = "$3" ]; then
        echo "ok $1 - slug '$2'"
    else
        echo "not ok $1 - slug '$2'"
        echo "# tests/run.sh: got '$(slug "$2")', wanted '$3'"
        bad=1
    fi
}
echo 1..2
check 1 abc abc
check 2 'Hello World' hello-world
exit $bad

#!/bin/sh
bad=0
i=0
for file in src/m*.sh; do
    . "./$file"
    n=${file#src/m}
    n=${n%.sh}
    i=$((i + 1))
    d=$(echo "$n" | sed 's/^0*//')
    want=$((1000 + ${d:-0}))
    if grep -q "^total_$n" "$file"; then got=$("total_$n" 1000); else got=$("sum_$n" 1000); fi
    if [ "$got" = "$want" ]; then
        echo "ok $i - module $n adds"
    else
        echo "not ok $i - module $n adds"
        echo "# $file: got $got, wanted $want"
        bad=1
    fi
done
echo "1..$i"
exit $bad

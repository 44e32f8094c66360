# Prints its argument as a slug.
slug() {
    printf '%s' "$1" | tr 'A-Z ' 'a-z_'
}

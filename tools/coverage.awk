# Sums what `gcov -b -n` prints into one line per folder of src/ and apps/.
# A header's lines are counted in whatever file includes it, so only .c files are summed.
/^File / {
    path = substr($0, 7, length($0) - 7)
    sub(top, "", path)
    wanted = path ~ /^(src|apps)\/.*\.c$/
    folder = path
    sub(/\/[^\/]*$/, "", folder)
}
wanted && /^Lines executed:/ { add(lines, lines_hit) }
wanted && /^Taken at least once:/ { add(branches, branches_hit) }
/calls|^Calls executed:/ { wanted = 0 } # a file ends here; behind the last comes gcov's own total

function add(all, hit,    parts) {
    split($0, parts, /[:%]/)
    count = $NF
    all[folder] += count
    hit[folder] += count * parts[2] / 100
    all["all"] += count
    hit["all"] += count * parts[2] / 100
    seen[folder] = 1
}

function row(name) {
    printf "%-18s %7d %6.1f %% %9d %6.1f %%\n", name, lines[name],
        lines[name] ? 100 * lines_hit[name] / lines[name] : 0, branches[name],
        branches[name] ? 100 * branches_hit[name] / branches[name] : 0
}

END {
    printf "\n%-18s %7s %8s %9s %8s\n", "folder", "lines", "reached", "branches", "taken"
    count = 0
    for (name in seen)
        names[++count] = name
    for (i = 2; i <= count; i++)
        for (j = i; j > 1 && names[j] < names[j - 1]; j--) {
            swap = names[j]
            names[j] = names[j - 1]
            names[j - 1] = swap
        }
    for (i = 1; i <= count; i++)
        row(names[i])
    row("all")
}

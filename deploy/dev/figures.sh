# shellcheck shell=bash
# The figures of a measurement, which are shown as medians. Sourced only.

# By name, separated by blanks.
declare -A FIGURES=()

# note NAME FIGURE
note() { FIGURES[$1]+="$2 "; }

# median NAME
median() {
  # shellcheck disable=SC2086 # a list of words
  printf '%s\n' ${FIGURES[$1]} | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

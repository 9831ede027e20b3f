# SPDX-License-Identifier: GPL-2.0-or-later
# tests/mutants.awk: small changes to one C file of this project, each of which a test should notice.
#
#   awk -f tests/mutants.awk FILE              one line for each mutant: number, line, function, what
#   awk -v apply=N -f tests/mutants.awk FILE   the file with mutant N in it; no line moves
#
# It relies on the formatting that clang-format gives: functions have their braces in column 1,
# binary operators have spaces around them, a statement begins on a line of its own.

# The text without comments, strings and characters; each byte stays in its column.
function blank(text,    out, c, n, i) {
	out = ""
	n = length(text)
	for (i = 1; i <= n; i++) {
		c = substr(text, i, 1)
		if (in_comment) {
			if (substr(text, i, 2) == "*/") {
				in_comment = 0
				out = out " "
				i++
			}
			c = " "
		} else if (substr(text, i, 2) == "/*") {
			in_comment = 1
			out = out " "
			i++
			c = " "
		} else if (substr(text, i, 2) == "//") {
			break
		} else if (c == "\"" || c == "'") {
			quote = c
			for (out = out c; ++i <= n && (c = substr(text, i, 1)) != quote; out = out "_")
				if (c == "\\") {
					out = out "_"
					i++
				}
			c = quote
		}
		out = out c
	}
	return out
}

# One mutant: the text of line @n becomes @text. More lines of the same mutant: also()
function mutant(n, what, text) {
	if (text == raw[n])
		return
	count++
	if (apply == count) {
		result[n] = text
		changed[n] = 1
	} else if (!apply) {
		printf "%d\t%d\t%s\t%s\n", count, n, fn, what
	}
}

function also(n, text) {
	if (apply == count) {
		result[n] = text
		changed[n] = 1
	}
}

# What line @n is when @len bytes at @at become @with.
function edited(n, at, len, with) {
	return substr(raw[n], 1, at - 1) with substr(raw[n], at + len)
}

# Each place of the line where @from stands, as @to.
function swap(n, what, from, to,    at, rest, line) {
	line = code[n] " "
	for (at = 0; (rest = index(substr(line, at + 1), from)); ) {
		at += rest
		mutant(n, what, edited(n, at, length(from), to))
	}
}

# The same for a word.
function swap_word(n, what, from, to,    at, rest, line) {
	line = " " code[n] " "
	for (at = 0; (rest = index(substr(line, at + 1), from)); ) {
		at += rest
		if (substr(line, at - 1, 1) !~ /[A-Za-z0-9_]/ && substr(line, at + length(from), 1) !~ /[A-Za-z0-9_]/)
			mutant(n, what, edited(n, at - 1, length(from), to))
	}
}

function relations(n) {
	swap(n, "relation", " < ", " <= ")
	swap(n, "relation", " <= ", " < ")
	swap(n, "relation", " > ", " >= ")
	swap(n, "relation", " >= ", " > ")
	swap(n, "relation", " == ", " != ")
	swap(n, "relation", " != ", " == ")
}

function bounds(n,    at, rest, line, number) {
	swap(n, "bound", " + 1", "")
	swap(n, "bound", " - 1", "")
	swap(n, "arithmetic", " + ", " - ")
	swap(n, "arithmetic", " - ", " + ")
	swap(n, "arithmetic", " += ", " -= ")
	swap(n, "arithmetic", " -= ", " += ")
	swap(n, "arithmetic", "++", "--")
	swap(n, "arithmetic", "--", "++")
	swap(n, "arithmetic", " * ", " / ")
	swap(n, "arithmetic", " / ", " * ")
	swap(n, "arithmetic", " % ", " * ")
	swap(n, "arithmetic", "MIN(", "MAX(")
	swap(n, "arithmetic", "MAX(", "MIN(")
	# Small numbers, but for 0, 1 and the sizes of arrays. Larger ones are choices, mostly.
	line = code[n]
	for (at = 0; match(substr(line, at + 1), /[^A-Za-z0-9_.\[x][0-9]+[^A-Za-z0-9_.]/); ) {
		at += RSTART
		number = substr(line, at + 1, RLENGTH - 2) + 0
		if (number > 1 && number <= 64)
			mutant(n, "bound", edited(n, at + 1, RLENGTH - 2, number + 1))
	}
}

function bits(n) {
	swap(n, "bits", " & ", " | ")
	swap(n, "bits", " | ", " & ")
	swap(n, "bits", " |= ", " = ")
	swap(n, "bits", " &= ", " = ")
	swap(n, "bits", " ^= ", " |= ")
	swap(n, "bits", " << ", " >> ")
	swap(n, "bits", " >> ", " << ")
}

function logic(n,    at, rest, line) {
	swap(n, "logic", "&&", "||")
	swap(n, "logic", "||", "&&")
	swap(n, "logic", " ? ", " == 0 ? ")
	swap_word(n, "logic", "true", "false")
	swap_word(n, "logic", "false", "true")
	line = code[n] " "
	for (at = 0; match(substr(line, at + 1), /![A-Za-z_(*]/); ) {
		at += RSTART
		mutant(n, "logic", edited(n, at, 1, ""))
	}
	if (line ~ / = 0;/)
		swap(n, "logic", " = 0;", " = 1;")
}

# Where the parenthesis that opens at column @at of line @n is closed: end_line, end_at.
function find_close(n, at,    depth, c, line) {
	for (depth = 0; n <= lines; n++) {
		line = code[n]
		for (; at <= length(line); at++) {
			c = substr(line, at, 1)
			if (c == "(")
				depth++
			else if (c == ")" && --depth == 0) {
				end_line = n
				end_at = at
				return 1
			}
		}
		at = 1
	}
	return 0
}

function condition(n, at, what, with,    text) {
	if (end_line == n) {
		text = edited(n, end_at, 1, "))")
		mutant(n, what, substr(text, 1, at) with substr(text, at + 1))
		return
	}
	mutant(n, what, edited(n, at + 1, 0, with))
	also(end_line, edited(end_line, end_at, 1, "))"))
}

function conditions(n,    at) {
	if (!match(code[n], /(if|while) \(/))
		return
	at = RSTART + RLENGTH - 1
	if (!find_close(n, at))
		return
	condition(n, at, "condition", "0 && (")
	if (code[n] !~ /while \(/)
		condition(n, at, "condition", "1 || (")
}

# A statement that begins on line @n ends where?
function find_end(n) {
	for (; n <= lines; n++)
		if (code[n] ~ /;[ \t]*$/)
			return n
		else if (code[n] ~ /[{}][ \t]*$/)
			return 0
	return 0
}

function begins_statement(n,    before) {
	if (code[n] !~ /^\t+[(*]*[A-Za-z_][A-Za-z0-9_]*(->|\.[a-z]|\[|\(|\+\+|--| [-+|&^]?= | [-+|&^]?=$)/)
		return 0
	if (code[n] ~ /^\t+[(*]*(if|for|while|switch|return|sizeof|do|else|case|default|goto|assert|va_start|va_end|log_debug)[^a-z0-9_]/)
		return 0
	for (before = n - 1; before > 0 && code[before] ~ /^[ \t]*$/; before--)
		;
	return code[before] ~ /([;{}:)]|else|do)[ \t]*$/
}

function calls(n,    end, i) {
	if (!begins_statement(n) || !(end = find_end(n)))
		return
	match(code[n], /^\t+/)
	mutant(n, "deleted", substr(raw[n], 1, RLENGTH) ";")
	for (i = n + 1; i <= end; i++)
		also(i, "")
}

function jumps(n) {
	if (code[n] ~ /^\t+(goto [a-z_]+|break|continue|return);$/) {
		match(code[n], /^\t+/)
		mutant(n, "jump", substr(raw[n], 1, RLENGTH) ";")
	}
}

function returns(n,    at, end, value, i) {
	if (!match(code[n], /^\t+return /) || !(end = find_end(n)))
		return
	at = RLENGTH + 1
	value = substr(code[n], at)
	if (value == "NULL;" || value == "true;" || value == "false;")
		return
	mutant(n, "return", substr(raw[n], 1, at - 1) (value == "0;" ? "-5;" : "0;"))
	for (i = n + 1; i <= end; i++)
		also(i, "")
}

function order(n) {
	swap(n, "order", "store_release(", "store_relaxed(")
	swap(n, "order", "load_acquire(", "load_relaxed(")
}

{
	lines = NR
	raw[NR] = $0
	code[NR] = blank($0)
	sub(/[ \t]+$/, "", code[NR])
}

END {
	for (n = 1; n <= lines; n++) {
		if (code[n] ~ /^[A-Za-z_].*\(/) {
			fn = code[n]
			sub(/\(.*/, "", fn)
			sub(/.*[ *]/, "", fn)
		}
		if (code[n] ~ /^\{/)
			in_function = 1
		else if (code[n] ~ /^\}/)
			in_function = 0
		if (!in_function || code[n] ~ /^#/ || code[n] ~ /log_debug\(/)
			continue
		relations(n)
		bounds(n)
		bits(n)
		logic(n)
		conditions(n)
		calls(n)
		jumps(n)
		returns(n)
		order(n)
	}
	if (apply)
		for (n = 1; n <= lines; n++)
			print (n in changed) ? result[n] : raw[n]
}

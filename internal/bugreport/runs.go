package bugreport

import (
	"regexp"
	"strings"
)

var (
	long = regexp.MustCompile(`[A-Za-z0-9+/_=-]{12,}`)
	code = regexp.MustCompile(`\b\d{6,12}\b|\b\d{3}[ -]\d{3}\b|\b\d{4}[ -]\d{4}\b`)
	run  = regexp.MustCompile(`\b\d{1,3}\.\d+(?:[nµm]?s|Z)\b|\d+`) // also within a word; but parts of a second are no code

	hexOnly    = regexp.MustCompile(`^[0-9a-fA-F]{16,}$`)
	base32Only = regexp.MustCompile(`^[A-Z2-7=]{16,}$`)
	smallOnly  = regexp.MustCompile(`^[a-z]{16,}$`)
	wordOnly   = regexp.MustCompile(`^[A-Za-z0-9]{16,}$`)
	crockford  = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{3,8}(-[0-9A-HJKMNP-TV-Z]{3,8}){2,}$`)
	upper      = regexp.MustCompile(`[A-Z]`)
	lower      = regexp.MustCompile(`[a-z]`)
	digit      = regexp.MustCompile(`[0-9]`)
)

// hideRuns replaces what is too long for a word, and numbers of a code's length.
func hideRuns(text string) string {
	text = long.ReplaceAllStringFunc(text, hideRun)
	return run.ReplaceAllStringFunc(code.ReplaceAllString(text, digits), func(m string) string {
		if len(m) < 6 || len(m) > 12 || strings.Contains(m, ".") {
			return m
		}
		return digits
	})
}

// hideRun judges a run of letters that no language has words as long as. A path
// is judged by its steps, too.
func hideRun(run string) string {
	mixed := upper.MatchString(run) && lower.MatchString(run)
	if crockford.MatchString(run) || len(run) >= 20 && mixed && (digit.MatchString(run) || strings.ContainsAny(run, "+=") || len(run) >= 30) {
		return hidden
	}
	steps := strings.Split(run, "/")
	for i, step := range steps {
		if isSecretStep(step) {
			steps[i] = hidden
		}
	}
	return strings.Join(steps, "/")
}

func isSecretStep(step string) bool {
	for _, piece := range append(strings.FieldsFunc(step, func(r rune) bool { return strings.ContainsRune("-_=", r) }), step) {
		switch {
		case hexOnly.MatchString(piece), base32Only.MatchString(piece), smallOnly.MatchString(piece) && !longWords[piece]:
			return true
		case wordOnly.MatchString(piece) && digit.MatchString(piece), len(piece) >= 20 && hasBoth(piece):
			return true
		}
	}
	return false
}

// longWords are of our own texts and of sshd's settings; any other that long and
// in small letters could be a seed.
var longWords = wordSet(`authenticationmethods challengeresponseauthentication skeyauthentication kbdinteractiveauthentication passwordauthentication
	pubkeyauthentication hostbasedauthentication gssapiauthentication permitemptypasswords automaticloginenable timedloginenable`)

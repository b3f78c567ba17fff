package otp_test

import (
	"errors"
	"strings"
	"testing"

	"latchkey/internal/otp"
)

func TestA13ACodeAsPeopleTypeIt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		typed, code string
		err         error
	}{
		"as it is":                     {"07081804", "07081804", nil},
		"in two groups":                {"070 81804", "07081804", nil},
		"six digits with a dash":       {"755-224", "755224", nil},
		"seven digits":                 {"7552240", "7552240", nil},
		"copied with a no-break space": {"755\u00a0224", "755224", nil},
		"with a narrow no-break space": {"755\u202f224", "755224", nil},
		"with a typographic dash":      {"755\u2011224", "755224", nil},
		"with spaces around":           {" 755224\t", "755224", nil},
		"all zeros":                    {"000000", "000000", nil},
		"full-width digits":            {"０７０８１８０４", "", otp.ErrFullWidth},
		"one full-width digit":         {"75522４", "", otp.ErrFullWidth},
		"Arabic-Indic digits":          {"٠٧٠٨١٨", "", otp.ErrNotDigits},
		"letter O for zero":            {"O7081804", "", otp.ErrNotDigits},
		"a sign":                       {"+755224", "", otp.ErrNotDigits},
		"a line break":                 {"755224\n", "", otp.ErrNotDigits},
		"a zero byte":                  {"755224\x00", "", otp.ErrNotDigits},
		"an invisible character":       {"755\u200b224", "", otp.ErrNotDigits},
		"bytes that are no text":       {"755224\xff", "", otp.ErrNotDigits},
		"five digits":                  {"75522", "", otp.ErrLength},
		"nine digits":                  {"755224287", "", otp.ErrLength},
		"nothing":                      {"", "", otp.ErrLength},
		"spaces only":                  {"      ", "", otp.ErrLength},
		"a page of spaces":             {strings.Repeat(" ", 200) + "755224", "", otp.ErrLength},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := otp.Normalize(tc.typed)
			if got != tc.code || !errors.Is(err, tc.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, tc.code, tc.err)
			}
		})
	}
}

func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"755224", "070 81804", "０７０８", "75\u00a05224", "-", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, err := otp.Normalize(typed)
		if err != nil {
			if code != "" {
				t.Fatalf("%q with %v", code, err)
			}
			return
		}
		if len(code) < 6 || len(code) > 8 || strings.Trim(code, "0123456789") != "" {
			t.Fatalf("%q became %q", typed, code)
		}
		if again, err := otp.Normalize(code); err != nil || again != code {
			t.Fatalf("%q does not stay itself: %q, %v", code, again, err)
		}
		// The digits are those typed, in their order, none made up.
		var digits strings.Builder
		for _, b := range []byte(typed) {
			if b >= '0' && b <= '9' {
				digits.WriteByte(b)
			}
		}
		if digits.String() != code {
			t.Fatalf("%q became %q", typed, code)
		}
	})
}

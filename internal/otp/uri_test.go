package otp_test

import (
	"reflect"
	"strings"
	"testing"

	"latchkey/internal/otp"
)

const b32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

func TestA19AnAddressHoldsEveryParameter(t *testing.T) {
	t.Parallel()
	k := totpKey()
	k.Issuer, k.Account, k.Algorithm, k.Digits, k.Period = "ACME Co", "ana@example.com", otp.SHA256, 8, 60
	const want = "otpauth://totp/ACME%20Co:ana%40example.com?secret=" + b32 + "&issuer=ACME%20Co&algorithm=SHA256&digits=8&period=60"
	if got := k.URI(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := hotpKey().URI(), "otpauth://hotp/ana?secret="+b32+"&algorithm=SHA1&digits=6&counter=7"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestA19AnyLabelComesBackAsItWas(t *testing.T) {
	t.Parallel()
	names := []string{"ana", "a:b", ":", "a/b", "//", "🔑 ключ", "a b", "a+b", "a%2Fb", "100%", "a?b=c&d#e", "x:ana", `"'<>\`, "ACME", "Müller, Ö.", "issuer=x", strings.Repeat("ü", 128)}
	for _, issuer := range append(names, "") {
		for _, account := range names {
			for _, k := range []otp.Key{totpKey(), hotpKey()} {
				k.Issuer, k.Account = issuer, account
				uri := k.URI()
				if strings.ContainsAny(uri[len("otpauth://totp/"):], "+ #/") {
					t.Errorf("an address that phones read differently: %s", uri)
				}
				got, err := otp.ParseURI(uri)
				if err != nil || !reflect.DeepEqual(got, k) {
					t.Errorf("%q of %q: %v, %v", account, issuer, got, err)
				}
			}
		}
	}
}

func TestAnAddressIsRead(t *testing.T) {
	t.Parallel()
	long := totpKey()
	long.Algorithm, long.Digits, long.Period = otp.SHA512, 7, 60
	noIssuer, spaced, counter := totpKey(), totpKey(), hotpKey()
	noIssuer.Issuer = ""
	spaced.Issuer, spaced.Account = "ACME Co", "a+b"
	counter.Counter = otp.MaxCounter
	for name, tc := range map[string]struct {
		uri  string
		want otp.Key
	}{
		"defaults":                          {"otpauth://totp/ACME:ana?secret=" + b32, totpKey()},
		"issuer as a parameter only":        {"otpauth://totp/ana?secret=" + b32 + "&issuer=ACME", totpKey()},
		"issuer in both places":             {"otpauth://totp/ACME:ana?issuer=ACME&secret=" + b32, totpKey()},
		"no issuer":                         {"otpauth://totp/ana?secret=" + b32, noIssuer},
		"escaped colon":                     {"otpauth://totp/ACME%3Aana?secret=" + b32, totpKey()},
		"blanks after the colon":            {"otpauth://totp/ACME:%20%20ana?secret=" + b32, totpKey()},
		"all parameters":                    {"otpauth://totp/ACME:ana?secret=" + b32 + "&algorithm=sha512&digits=7&period=60", long},
		"a plus is a plus":                  {"otpauth://totp/ACME%20Co:a+b?secret=" + b32 + "&issuer=ACME%20Co", spaced},
		"upper-case scheme and type":        {"OTPAUTH://TOTP/ACME:ana?secret=" + b32, totpKey()},
		"A17 lower-case secret with spaces": {"otpauth://totp/ACME:ana?secret=" + strings.ToLower(b32[:16]) + "%20" + b32[16:], totpKey()},
		"looks of an app":                   {"otpauth://totp/ACME:ana?secret=" + b32 + "&image=https%3A%2F%2Fx%2Fy.png&color=FF0000", totpKey()},
		"hotp":                              {"otpauth://hotp/ana?secret=" + b32 + "&counter=7", hotpKey()},
		"hotp with the period some apps export": {
			"otpauth://hotp/ana?secret=" + b32 + "&counter=7&period=30", hotpKey(),
		},
		"A20 hotp at the last counter": {"otpauth://hotp/ana?counter=4611686018427387904&secret=" + b32, counter},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := otp.ParseURI(tc.uri)
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAnAddressIsRefusedAndItsSecretNotRepeated(t *testing.T) {
	t.Parallel()
	ok := "otpauth://totp/ACME:ana?secret=" + b32
	hotp := "otpauth://hotp/ana?secret=" + b32
	for name, tc := range map[string]struct{ uri, want string }{
		"nothing":                         {"", "otpauth://"},
		"another scheme":                  {strings.Replace(ok, "otpauth", "https", 1), "otpauth://"},
		"one slash":                       {strings.Replace(ok, "//", "/", 1), "otpauth://"},
		"space before it":                 {" " + ok, "otpauth://"},
		"unknown type":                    {strings.Replace(ok, "totp", "steam", 1), "type is not"},
		"no type":                         {strings.Replace(ok, "totp", "", 1), "type"},
		"type with a port":                {strings.Replace(ok, "totp", "totp:1", 1), "type"},
		"no secret":                       {"otpauth://totp/ACME:ana?digits=6", "secret is missing"},
		"no parameters":                   {"otpauth://totp/ACME:ana", "secret is missing"},
		"empty secret":                    {"otpauth://totp/ACME:ana?secret=", "secret is missing"},
		"A17 secret with a 1":             {ok[:len(ok)-1] + "1", "not base32"},
		"A17 secret with a 0":             {ok[:len(ok)-1] + "0", "not base32"},
		"A17 secret with an 8":            {ok[:len(ok)-1] + "8", "not base32"},
		"secret with plus for blank":      {ok[:len(ok)-8] + "+" + b32[:8], "not base32"},
		"A16 secret of 15 bytes":          {"otpauth://totp/ACME:ana?secret=" + b32[:24], "the least is 16"},
		"secret twice":                    {ok + "&secret=" + b32, "secret occurs twice"},
		"issuer twice":                    {ok + "&issuer=ACME&issuer=ACME", "issuer occurs twice"},
		"unknown parameter":               {ok + "&digit=8", "a parameter that is not"},
		"parameter in upper case":         {ok + "&Digits=8", "a parameter that is not"},
		"escaped parameter name":          {ok + "&digit%73=8", "a parameter that is not"},
		"A16 5 digits":                    {ok + "&digits=5", "must be 6 to 8"},
		"A16 10 digits":                   {ok + "&digits=10", "must be 6 to 8"},
		"digits that wrap to 6":           {ok + "&digits=4294967302", "must be 6 to 8"},
		"empty digits":                    {ok + "&digits=", "digits is not a number"},
		"signed digits":                   {ok + "&digits=+6", "digits is not a number"},
		"full-width digits":               {ok + "&digits=%EF%BC%96", "digits is not a number"},
		"A16 period of 300":               {ok + "&period=300", "must be 15 to 120"},
		"period of 0":                     {ok + "&period=0", "must be 15 to 120"},
		"hotp with a period of 0":         {hotp + "&counter=0&period=0", "must be 15 to 120"},
		"hotp without a counter":          {hotp, "counter is missing"},
		"negative counter":                {hotp + "&counter=-1", "counter is not a number"},
		"empty counter":                   {hotp + "&counter=", "counter is not a number"},
		"A20 counter 2^63":                {hotp + "&counter=9223372036854775808", "counter is not a number"},
		"A20 counter 2^64":                {hotp + "&counter=18446744073709551616", "counter is not a number"},
		"totp with a bad counter":         {ok + "&counter=x", "counter is not a number"},
		"unknown algorithm":               {ok + "&algorithm=MD5", "algorithm"},
		"empty algorithm":                 {ok + "&algorithm=", "algorithm"},
		"two issuers":                     {ok + "&issuer=Other", "different issuers"},
		"issuers that differ in case":     {ok + "&issuer=acme", "different issuers"},
		"issuer that is half the label's": {ok + "&issuer=ACM", "different issuers"},
		"no label":                        {"otpauth://totp/?secret=" + b32, "account"},
		"no slash":                        {"otpauth://totp?secret=" + b32, "account"},
		"issuer without account":          {"otpauth://totp/ACME:?secret=" + b32, "account"},
		"bad escape in the label":         {"otpauth://totp/a%zz?secret=" + b32, "percent"},
		"bad escape in the secret":        {ok + "%", "percent"},
		"label with a line break":         {"otpauth://totp/a%0Ab?secret=" + b32, "control"},
		"label that is not UTF-8":         {"otpauth://totp/%ff?secret=" + b32, "UTF-8"},
		"fragment":                        {ok + "#x", "fragment"},
		"far too long":                    {ok + "&image=" + strings.Repeat("x", 4096), "4096"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := otp.ParseURI(tc.uri)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if !reflect.DeepEqual(got, otp.Key{}) {
				t.Errorf("a refused address left %+v", got)
			}
			if strings.Contains(err.Error(), "GEZD") {
				t.Errorf("the error repeats the secret: %v", err)
			}
		})
	}
}

func FuzzParseURI(f *testing.F) {
	f.Add(totpKey().URI())
	f.Add(hotpKey().URI())
	f.Add("otpauth://totp/a:b%3Ac?secret=" + strings.ToLower(b32) + "&issuer=a&period=60&digits=8&algorithm=SHA-512")
	f.Add("otpauth://hotp/%F0%9F%94%91?counter=9223372036854775807&issuer=&secret=" + b32)
	f.Fuzz(func(t *testing.T, uri string) {
		k, err := otp.ParseURI(uri)
		if err != nil {
			return
		}
		if err := k.Validate(); err != nil {
			t.Fatalf("accepted a key that is not valid: %v", err)
		}
		if again, err := otp.ParseURI(k.URI()); err != nil || !reflect.DeepEqual(again, k) {
			t.Fatalf("%q came back from %s as %+v, %v", uri, k.URI(), again, err)
		}
	})
}

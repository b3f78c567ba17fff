package bugreport

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const grouped = "VGMJ OBFB UTNG 6YVW PV2M 7GUM KGHH A6BY"

// leaks are texts that once came through, with what must be gone of them.
var leaks = map[string]struct {
	text string
	bad  []string
}{
	"a document behind a date": {
		`Nov 28 10:11:12 laptop latchkey-agent[123]: {"user":"zed","password":"hunter2","secret":"JBSW Y3DP EHPK 3PXP","answer":"12 34 56","rhost":"mail.example.org"}`,
		[]string{"zed", "hunter2", "JBSW", "Y3DP", "3PXP", "12 34", "34 56", "mail.example", "laptop"},
	},
	"a document in a text":         {`got {"password":"hunter2"} from it`, []string{"hunter2"}},
	"one with spaces":              {`got { "password" : "hunter2" } from it`, []string{"hunter2"}},
	"two documents":                {`{"a":1} and {"password":"hunter2"}{"user":"zed"}`, []string{"hunter2", "zed"}},
	"one that was cut":             {`x: {"rhost":"mail.example.org","user":"zed","password":"hunter2`, []string{"hunter2", "zed", "mail.example"}},
	"one that is a secret":         {`password={"a":"hunter2", "b":"zed"}`, []string{"hunter2", "zed"}},
	"one in a field":               {`{"msg":"got {\"password\":\"hunter2\",\"user\":\"zed\"}"}`, []string{"hunter2", "zed"}},
	"one in a field, cut":          {`{"msg":"got {\"password\":\"hun\\\"ter2\",\"user\":\"zed"}`, []string{"hun", "ter2", "zed"}},
	"one in quotes":                {`msg="got {\"password\":\"hunter2\",\"user\":\"zed\"}" x=y`, []string{"hunter2", "zed"}},
	"one with quotes, in quotes":   {`msg="got {\"password\":\"hun\\\"ter2 x\"}" x=y`, []string{"hun", "ter2", " x\\"}},
	"a document on many lines":     {"{\n  \"password\": \"hunter2\",\n  \"user\": \"zed\"\n}", []string{"hunter2", "zed"}},
	"arguments in a document":      {`{"args":["--password","hunter2","--secret","qwerty"]}`, []string{"hunter2", "qwerty"}},
	"arguments in a text":          {`"args":["--password","hunter2"]`, []string{"hunter2"}},
	"arguments in Python":          {`args=['--password', 'hunter2']`, []string{"hunter2"}},
	"arguments of a program":       {`run --password hunter2 --secret JBSWY3DP`, []string{"hunter2", "JBSWY3DP"}},
	"arguments with one dash":      {`run -token qwerty -v`, []string{"qwerty"}},
	"arguments and a sign":         {`run --password = hunter2`, []string{"hunter2"}},
	"a statement":                  {`ALTER ROLE latchkey PASSWORD 'hunter2'`, []string{"hunter2"}},
	"another statement":            {`CREATE USER u IDENTIFIED BY 'hunter2 x'`, []string{"hunter2", " x"}},
	"a word behind a word":         {`the password hunter2 is wrong`, []string{"hunter2"}},
	"netrc":                        {`machine h login u password qwerty`, []string{"qwerty"}},
	"a setting of a directory":     {`bindpw qwerty`, []string{"qwerty"}},
	"pgpass":                       {`db.example:5432:latchkey:latchkey:hunter2`, []string{"hunter2", "db.example"}},
	"pgpass with stars":            {`*:*:*:latchkey:hunter2`, []string{"hunter2"}},
	"a seed in small letters":      {`jbswy3dpehpk3pxp`, []string{"jbswy3dp"}},
	"small letters without digits": {`jbswyadpehpkbpxp`, []string{"jbswy"}},
	"small groups":                 {`jbsw y3dp ehpk 3pxp`, []string{"jbsw", "y3dp", "ehpk", "3pxp"}},
	"small groups without digits":  {`jbsw yadp ehpk cpxp`, []string{"jbsw", "yadp", "ehpk", "cpxp"}},
	"capital groups":               {grouped, strings.Fields(grouped)},
	"groups with a short end":      {`JBSW Y3DP EHPK 3PX`, []string{"JBSW", "3PX"}},
	"two groups":                   {`JBSWY3DP-EHPK3PXP`, []string{"JBSWY3DP", "EHPK3PXP"}},
	"two small groups":             {`jbswyadp-ehpkbpxp`, []string{"jbswyadp", "ehpkbpxp"}},
	"letters one by one":           {`J B S W Y 3 D P E H P K 3 P X P`, []string{"J B", "3 P X"}},
	"bytes":                        {`31:32:33:34:35:36:37:38:39:30:31:32:33:34:35:36:37:38:39:30`, []string{"31:32", "39:30"}},
	"bytes that look like times":   {`11:12:13:14:15:16:17:18`, []string{"11:12"}},
	"bytes with spaces":            {`31 3a 33 34 35 36 37 38 39 3f`, []string{"31 3a", "39 3f"}},
	"bytes in C":                   {`0x31, 0x3a, 0x33, 0x34, 0x35, 0x36`, []string{"0x31", "0x36"}},
	"bytes that are escaped":       {`"\x31\x32\x33\x34\x35\x36"`, []string{`\x31`}},
	"bytes in decimal":             {`key 131, 2, 33, 104, 5, 61, 7, 18`, []string{"131,", "104,", " 18"}},
	"bytes in pairs":               {`3132 3a34 3536 3738`, []string{"3132 ", " 3738"}},
	"a number in hex":              {`0x3132333435363738`, []string{"31323334"}},
	"a code in hex":                {`0x393138323733 and 393138323733`, []string{"39313832"}},
	"a code by twos":               {`12 34 56`, []string{"12 34", "34 56"}},
	"a code by ones":               {`1 2 3 4 5 6`, []string{"1 2", "5 6"}},
	"a code by ones, in a list":    {`[1,2,3,4,5,6]`, []string{"1,2"}},
	"a code between small words":   {`at is 12 34 56 ab`, []string{"12 34", "34 56"}},
	"a code behind a time":         {`21:47:05 12 34 56`, []string{"12 34", "34 56"}},
	"a code behind an escape":      {`msg="it\n12 34 56"`, []string{"12 34", "34 56"}},
	"a code in an answer":          {`answer=12 34 56`, []string{"=12", " 34", " 56"}},
	"pwd":                          {`pwd=hunter2`, []string{"hunter2"}},
	"pw":                           {`pw=hunter2`, []string{"hunter2"}},
	"a password with a quote":      {`password=hun"ter2,x`, []string{"hun", "ter2", ",x"}},
	"a list of passwords":          {`passwords: [qwerty, asdfgh]`, []string{"qwerty", "asdfgh"}},
	"XML":                          {`<password>hunter2</password>`, []string{"hunter2"}},
	"mongodb":                      {`mongodb://u:hunter2@h/x`, []string{"hunter2"}},
	"redis":                        {`redis://:hunter2@h`, []string{"hunter2"}},
	"amqp":                         {`amqp://u:hun/ter2@h:5672`, []string{"hun", "ter2"}},
	"a driver's address":           {`latchkey:hunter2@tcp(db:3306)/x`, []string{"hunter2"}},
	"small Crockford":              {`abcde-fghjk-mnpqr-stvwx`, []string{"abcde", "stvwx"}},
	"a small emergency code":       {`7k3qf-x8m2p-9tw4r`, []string{"7k3qf", "9tw4r"}},
	"a value that is a key":        {`answer="secret" : "qwerty"`, []string{"qwerty"}},
	"a header behind an escape":    {`msg="it\nBearer qwerty"`, []string{"qwerty"}},
	"a host behind a long pid":     {`Nov 28 10:11:12 laptop agent[1234567]: x`, []string{"laptop"}},
	"a cookie":                     {`Cookie: a=qwerty; b=asdfgh`, []string{"qwerty", "asdfgh"}},
	"a header of another kind":     {`Authorization: Digest u, r="qwerty"`, []string{"qwerty"}},
	"a short number in a secret":   {`{"pins":[12,34],"secret":5}`, []string{"[12", "34]", ":5"}},
	"a code as a name":             {`{"user":"zed 918273 x"}`, []string{"zed", "918273", " x"}},
	"names in a text":              {`auth failure; logname= ruser=ben rhost=mail.example.org  user=zed`, []string{"ben", "mail.example", "zed"}},
	"a name in quotes":             {`no machine named "frontdesk", user 'zed'`, []string{"frontdesk", "zed"}},
	"a name that sshd logs":        {`Failed password for invalid user zed from 192.0.2.7 port 22`, []string{"zed", "192.0.2.7"}},
	"another that sshd logs":       {`Accepted publickey for zed from 192.0.2.7 port 22`, []string{"zed"}},
	"a name in a path":             {`GET /v1/users/zed/x`, []string{"zed"}},
}

func TestWhatOnceLeakedIsHidden(t *testing.T) {
	t.Parallel()
	for name, tc := range leaks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for place, text := range surroundings(tc.text) {
				got := string(fresh(t, false).Scrub.lines([]byte(text)))
				for _, bad := range tc.bad {
					if strings.Contains(got, bad) {
						t.Errorf("%s: %q stays in %q", place, bad, got)
					}
				}
			}
		})
	}
}

func surroundings(text string) map[string]string {
	doc, _ := json.Marshal(map[string]string{"msg": "x: " + text})
	return map[string]string{"alone": text, "behind a date": "Nov 30 20:09:00 h agent[7]: " + text, "in a field": string(doc)}
}

// secrets that must survive nowhere, with what could be recognized of them.
var planted = map[string][]string{
	"JBSW Y3DP EHPK 3PXP": {"JBSW", "Y3DP", "EHPK", "3PXP"},
	"jbsw y3dp ehpk 3pxp": {"jbsw", "y3dp", "ehpk", "3pxp"},
	"jbswy3dpehpk3pxp":    {"jbswy3dp", "ehpk3pxp"},
	"JBSWY3DP-EHPK3PXP":   {"JBSWY3DP", "EHPK3PXP"},
	grouped:               strings.Fields(grouped),
	"98:97:96:95:94:93:92:91:98:97:96:95:94:93:92:91:98:97:96:95": {"98:97", "92:91"},
	"98 97 9a 95 94 93 92 91 98 97 9c 95 94 93 92 91 98 97 96 9e": {"98 97", "9c 95", " 9e"},
	"0x9192939495969798":                     {"91929394", "95969798"},
	"98 76 54":                               {"98 76", "76 54"},
	"9 8 7 6 5 4":                            {"9 8", "7 6", "5 4"},
	"987 654":                                {"987 ", " 654"},
	"98765432":                               {"987654", "765432"},
	"abcde-fghjk-mnpqr-stvwx":                {"abcde", "stvwx"},
	"9K3QF-X8M2P-9TW4R":                      {"9K3QF", "9TW4R"},
	"pwd=hunter2":                            {"hunter2"},
	"pw=hunter2":                             {"hunter2"},
	"password: hunter2":                      {"hunter2"},
	"--password hunter2":                     {"hunter2"},
	`"--password","hunter2"`:                 {"hunter2"},
	`{"password":"hunter2"}`:                 {"hunter2"},
	`"secret" : "hunter2"`:                   {"hunter2"},
	"ALTER ROLE latchkey PASSWORD 'hunter2'": {"hunter2"},
	"db.example:5432:latchkey:latchkey:hunter2": {"hunter2"},
	"mongodb://u:hunter2@h":                     {"hunter2"},
	"redis://:hunter2@h":                        {"hunter2"},
	"Bearer hunter2":                            {"hunter2"},
	"lka_hunter2":                               {"hunter2"},
	"otpauth://totp/a?secret=hunter2":           {"hunter2"},
}

// around are pieces of what may stand beside a secret. None glues a letter or a
// digit to it, which would make it another word.
var around = []string{" ", "  ", `"`, "'", "`", "(", ")", "[", "]", "{", "}", "<", ">", ",", ";", "=", ":", ": ", "\\n", `\"`, "\t", "|", "/", "\n",
	" the answer ", " was wrong ", " key=", " msg=", `{"msg":"`, `"}`, `{"a":1}`, "[x] ", " at 21:47:05 ", " 2026-11-21T21:47:05Z ", " Nov 28 10:11:12 pc agent[7]: ", " --v ", " of 12 "}

func TestASecretSurvivesNowhere(t *testing.T) {
	var texts []string
	for text := range planted {
		texts = append(texts, text)
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.SampledFrom(texts).Draw(rt, "secret")
		side := rapid.Map(rapid.SliceOfN(rapid.SampledFrom(around), 0, 6), func(p []string) string { return strings.Join(p, "") })
		line := side.Draw(rt, "before") + rapid.SampledFrom([]string{text, " " + text + " "}).Draw(rt, "parted") + side.Draw(rt, "after")
		for range rapid.IntRange(0, 2).Draw(rt, "how often in a document") {
			raw, _ := json.Marshal(map[string]any{"msg": line, "n": []string{line}})
			line = side.Draw(rt, "before the document") + string(raw)
		}
		r, err := New(rand.Reader, rapid.Bool().Draw(rt, "with names"), time.Now())
		if err != nil {
			rt.Fatal(err)
		}
		r.Scrub.learn([]byte(line))
		out := string(r.Scrub.lines([]byte(line)))
		for _, bad := range planted[text] {
			if strings.Contains(out, bad) {
				rt.Fatalf("%q of %q stays in %q", bad, line, out)
			}
		}
	})
}

func TestALogonHasOneNameInEveryReport(t *testing.T) {
	t.Parallel()
	const logon, other = "00112233445566778899aabbccddeeff", "10112233445566778899aabbccddeeff"
	line := fmt.Sprintf(`{"logon":%q,"user":"zed","error":"logon %s: opening vault"}`, logon, logon)
	agent, server := fresh(t, false).Scrub.Text(line), fresh(t, true).Scrub.Text(`x: {"logon":"`+logon+`"}`)
	name := logonName(logon)
	if strings.Count(agent, name) != 2 || !strings.Contains(server, name) || strings.Contains(agent+server, logon[:12]) {
		t.Errorf("%s is not twice in %s and once in %s", name, agent, server)
	}
	if name == logonName(other) {
		t.Error("two logons have one name")
	}
	if got := fresh(t, false).Scrub.Text(`{"logon":"hunter2hunter2hunter2hunter2"}`); strings.Contains(got, "hunter2") {
		t.Errorf("what is no id stays in %s", got)
	}
}

func TestAKeyWithoutAnEndHidesItsLinesOnly(t *testing.T) {
	t.Parallel()
	key := "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\nMC4CAQ\n"
	prefixed := strings.ReplaceAll("-----BEGIN RSA PRIVATE KEY-----\n"+key, "\n", "\nNov 28 10:11:12 h agent[1]: ")
	for name, text := range map[string]string{
		"plain":          "before it\n-----BEGIN PRIVATE KEY-----\n" + key + "the log goes on\n",
		"with headers":   "before it\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,00\n\n" + key + "the log goes on\n",
		"behind a date":  "before it\nNov 28 10:11:12 h agent[1]: " + prefixed + "the log goes on\n",
		"another key":    "before it\n-----BEGIN PRIVATE KEY-----\n" + key + "the log goes on\n-----BEGIN CERTIFICATE-----\n" + key + "-----END CERTIFICATE-----\n",
		"in a document":  "before it\n" + `{"msg":"-----BEGIN PRIVATE KEY-----\nMC4CAQ","x":"y"}` + "\nthe log goes on\n",
		"as an array":    "before it\n" + `["-----BEGIN PRIVATE KEY-----",` + "\n" + `"MC4CAQ",` + "\nthe log goes on\n",
		"of another way": "before it\n---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n" + key + "the log goes on\n",
		"whole":          "before it\n-----BEGIN PRIVATE KEY-----\nMC4\nwhat else was logged hunter2\nCAQ\n-----END PRIVATE KEY-----\nthe log goes on\n",
	} {
		got := string(fresh(t, false).Scrub.lines([]byte(text)))
		if !strings.Contains(got, "before it") || !strings.Contains(got, "the log goes on") {
			t.Errorf("%s: too little is left: %q", name, got)
		}
		for _, bad := range []string{"MIIE", "MzEf", "MC4", "CAQ", "hunter2", "BEGIN"} {
			if strings.Contains(got, bad) {
				t.Errorf("%s: %s stays in %q", name, bad, got)
			}
		}
	}
}

package frame

// A Tag names one field. It means the same in every message.
type Tag byte

// The tags; their values and limits are listed in docs/formats/lklp.md.
const (
	TagVersionMin  Tag = 1
	TagVersionMax  Tag = 2
	TagKind        Tag = 3
	TagLocale      Tag = 4
	TagCaps        Tag = 5
	TagOp          Tag = 10
	TagScenario    Tag = 11
	TagService     Tag = 12
	TagUser        Tag = 13
	TagUID         Tag = 14
	TagSID         Tag = 15
	TagRUser       Tag = 16
	TagRHost       Tag = 17
	TagTTY         Tag = 18
	TagFlags       Tag = 19
	TagFirstFactor Tag = 20
	TagAuthEvent   Tag = 21
	TagRUID        Tag = 22
	TagID          Tag = 30
	TagValue       Tag = 31
	TagAskKind     Tag = 40
	TagLabel       Tag = 41
	TagExpiry      Tag = 42
	TagChoice      Tag = 43
	TagText        Tag = 50
	TagError       Tag = 51
	TagOutcome     Tag = 60
	TagReason      Tag = 61
	TagLoginsLeft  Tag = 62
	TagDaysLeft    Tag = 63
	TagValidUntil  Tag = 64
	TagEventID     Tag = 65
	TagVersion     Tag = 66
)

type shape byte

const (
	shapeU8 shape = iota + 1
	shapeU32
	shapeU64
	shapeName   // bytes from the machine, no NUL
	shapeText   // UTF-8, no NUL
	shapeSecret // any bytes
	shapeChoice // checked by parseChoice
)

// A rule is what the format demands of a tag wherever it is known.
type rule struct {
	shape shape
	max   int // bytes; numbers have the width of their shape
}

var rules = map[Tag]rule{
	TagVersionMin: {shapeU8, 1}, TagVersionMax: {shapeU8, 1}, TagKind: {shapeText, 64}, TagLocale: {shapeText, 64}, TagCaps: {shapeU32, 4},
	TagOp: {shapeU8, 1}, TagScenario: {shapeText, 64}, TagService: {shapeName, 128}, TagUser: {shapeName, 512}, TagUID: {shapeU32, 4},
	TagSID: {shapeText, 256}, TagRUser: {shapeName, 512}, TagRHost: {shapeName, 512}, TagTTY: {shapeName, 256}, TagFlags: {shapeU32, 4},
	TagFirstFactor: {shapeU8, 1}, TagAuthEvent: {shapeText, 128}, TagRUID: {shapeU32, 4},
	TagID: {shapeU32, 4}, TagValue: {shapeSecret, 512},
	TagAskKind: {shapeU8, 1}, TagLabel: {shapeText, 1024}, TagExpiry: {shapeU32, 4}, TagChoice: {shapeChoice, 1 + 64 + 256},
	TagText: {shapeText, 8192}, TagError: {shapeU8, 1},
	TagOutcome: {shapeU8, 1}, TagReason: {shapeText, 64}, TagLoginsLeft: {shapeU32, 4}, TagDaysLeft: {shapeU32, 4},
	TagValidUntil: {shapeU64, 8}, TagEventID: {shapeText, 128}, TagVersion: {shapeU8, 1},
}

// A place is how a tag may occur in one message.
type place byte

const (
	optional place = iota + 1
	required
	repeated
)

var layouts = map[Type]map[Tag]place{
	TypeHello: {TagVersionMin: required, TagVersionMax: required, TagKind: required, TagLocale: optional, TagCaps: optional},
	TypeBegin: {
		TagOp: required, TagService: required, TagUser: required, TagScenario: optional, TagUID: optional, TagSID: optional,
		TagRUser: optional, TagRUID: optional, TagRHost: optional, TagTTY: optional, TagFlags: optional, TagFirstFactor: optional, TagAuthEvent: optional,
	},
	TypeAnswer: {TagID: required, TagValue: required},
	TypeCancel: {},
	TypeAsk:    {TagID: required, TagAskKind: required, TagLabel: required, TagExpiry: optional, TagChoice: repeated},
	TypeSay:    {TagText: required, TagError: optional},
	TypeTick:   {TagVersion: optional},
	TypeVerdict: {
		TagOutcome: required, TagReason: optional, TagText: optional, TagLoginsLeft: optional, TagDaysLeft: optional,
		TagValidUntil: optional, TagEventID: optional,
	},
}

// mayNotBeEmpty holds the texts without which a message says nothing.
var mayNotBeEmpty = map[Tag]bool{TagKind: true, TagService: true, TagUser: true, TagLabel: true}

package chat

// ChannelKind says who may find and join a channel.
type ChannelKind string

// The kinds of channel.
const (
	Public   ChannelKind = "public"   // listed, anyone may join
	Unlisted ChannelKind = "unlisted" // anyone who knows the UUID may join
	Private  ChannelKind = "private"  // by invitation; hidden from others
	Direct   ChannelKind = "direct"   // of two users; hidden from others
)

// MentionAll says which members of a channel may call all of them with @channel.
type MentionAll string

// The values of MentionAll.
const (
	MentionAllEveryone MentionAll = "everyone"
	MentionAllAdmins   MentionAll = "admins" // owners and admins
)

// Valid reports whether k is a known kind.
func (k ChannelKind) Valid() bool {
	return k == Public || k == Unlisted || k == Private || k == Direct
}

// Hidden reports whether those outside must not learn that the channel exists.
func (k ChannelKind) Hidden() bool { return k == Private || k == Direct }

// OpenToAll reports whether anyone who knows the id may join.
func (k ChannelKind) OpenToAll() bool { return k == Public || k == Unlisted }

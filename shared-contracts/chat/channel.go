package chat

// ChannelKind determines who may find and join a channel.
type ChannelKind string

// The kinds of channels.
const (
	Public   ChannelKind = "public"   // listed, anyone may join
	Unlisted ChannelKind = "unlisted" // anyone who knows the UUID may join
	Private  ChannelKind = "private"  // by invitation; hidden from others
	Direct   ChannelKind = "direct"   // between two users; hidden from others
)

// MentionAll determines which members of a channel may mention all members with @channel.
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

// Hidden reports whether the existence of the channel is hidden from non-members.
func (k ChannelKind) Hidden() bool { return k == Private || k == Direct }

// OpenToAll reports whether anyone who knows the channel's id may join.
func (k ChannelKind) OpenToAll() bool { return k == Public || k == Unlisted }

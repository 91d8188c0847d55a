package chat

// Role is the role of a member in a channel or group. The empty Role means that the user is not a
// member and may do nothing.
type Role string

// The roles, from most to least powerful.
const (
	Owner  Role = "owner"
	Admin  Role = "admin"
	Member Role = "member"
)

// Valid reports whether r is a known role.
func (r Role) Valid() bool { return r == Owner || r == Admin || r == Member }

// Action is something that a member may do in a channel or group.
type Action string

// The actions. MayRemove and MayGrant apply further rules to actions on other members.
const (
	Read          Action = "read"           // history, members, presence, receipts
	Post          Action = "post"           // send messages and reactions, change one's own messages
	Leave         Action = "leave"          // leave the channel or group
	Invite        Action = "invite"         // invite or add members
	Describe      Action = "describe"       // change name and description
	Moderate      Action = "moderate"       // delete other members' messages and reactions
	AddChannels   Action = "add_channels"   // add channels to a group
	Close         Action = "close"          // delete the channel or group
	ChangeRoles   Action = "change_roles"   // change the roles of other members
	RemoveMembers Action = "remove_members" // remove other members, subject to MayRemove
)

// minRole contains the lowest role that may perform each action. This is the only place where
// permissions are defined.
var minRole = map[Action]Role{
	Read: Member, Post: Member, Leave: Member,
	Invite: Admin, Describe: Admin, Moderate: Admin, AddChannels: Admin, RemoveMembers: Admin,
	Close: Owner, ChangeRoles: Owner,
}

// rank returns a number that orders the roles. It returns 0 for a non-member.
func (r Role) rank() int {
	switch r {
	case Owner:
		return 3
	case Admin:
		return 2
	case Member:
		return 1
	}
	return 0
}

// May reports whether a member with this role may perform the action a in a group or in a channel
// that is not direct.
func (r Role) May(a Action) bool {
	lowest, known := minRole[a]
	return known && r.rank() >= lowest.rank()
}

// MayIn reports whether a member with this role may perform the action a in a channel of the given
// kind. In a direct channel, both members may read and post, but nothing else.
func (r Role) MayIn(kind ChannelKind, a Action) bool {
	if kind == Direct && a != Read && a != Post {
		return false
	}
	return r.May(a)
}

// MayRemove reports whether a member with this role may remove a member with the role other. Owners
// may remove anyone. Admins may remove only members with a lower role.
func (r Role) MayRemove(other Role) bool {
	return r.May(RemoveMembers) && (r == Owner || r.rank() > other.rank())
}

// MayGrant reports whether a member with this role may change another member's role from `from` to
// `to`. The same rules apply if the two roles are equal.
func (r Role) MayGrant(from, to Role) bool {
	return from.Valid() && to.Valid() && r.May(ChangeRoles)
}

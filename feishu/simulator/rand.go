package simulator

import "strconv"

// dice are numbers that depend on nothing but what they were made of, so that
// the same question always has the same answer.
type dice uint64

// with returns other dice for each n.
func (d dice) with(n int64) dice {
	// The finalizer of splitmix64.
	z := uint64(d) + uint64(n)*0x9e3779b97f4a7c15 + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return dice(z ^ z>>31)
}

// roll returns a number below n.
func (d dice) roll(n int64) int64 { return int64(uint64(d) >> 1 % uint64(n)) }

// id returns an id as Feishu's are, 19 digits.
func (d dice) id() string {
	return strconv.FormatInt(6_700_000_000_000_000_000+d.roll(99_999_999_999_999_999), 10)
}

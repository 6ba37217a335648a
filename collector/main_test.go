package collector

import (
	"testing"
	_ "time/tzdata" // the zones of the tests exist everywhere

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

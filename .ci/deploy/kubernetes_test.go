package deploy

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// objects are what a kustomization makes, by kind and name.
type objects struct {
	deployments map[string]*appsv1.Deployment
	claims      map[string]*corev1.PersistentVolumeClaim
	configMaps  map[string]*corev1.ConfigMap
	services    map[string]*corev1.Service
	monitors    map[string]*monitoringv1.ServiceMonitor
	rules       map[string]*monitoringv1.PrometheusRule
}

// lastApplied is the most that `kubectl apply` stores of an object in its annotation.
const lastApplied = 256 << 10

// kustomize builds a folder of deploy/kubernetes and decodes each object into
// the type of its API, which must know every field.
func kustomize(t *testing.T, dir string) objects {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsRootOnly // as kubectl apply -k has it
	made, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), filepath.Join(repository, "deploy/kubernetes", dir))
	if err != nil {
		t.Fatal(err)
	}
	o := objects{
		map[string]*appsv1.Deployment{}, map[string]*corev1.PersistentVolumeClaim{}, map[string]*corev1.ConfigMap{},
		map[string]*corev1.Service{}, map[string]*monitoringv1.ServiceMonitor{}, map[string]*monitoringv1.PrometheusRule{},
	}
	for _, r := range made.Resources() {
		data, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		switch kind := r.GetApiVersion() + " " + r.GetKind(); kind {
		case "apps/v1 Deployment":
			o.deployments[r.GetName()] = decode[appsv1.Deployment](t, data)
		case "v1 PersistentVolumeClaim":
			o.claims[r.GetName()] = decode[corev1.PersistentVolumeClaim](t, data)
		case "v1 ConfigMap":
			o.configMaps[r.GetName()] = decode[corev1.ConfigMap](t, data)
		case "v1 Service":
			o.services[r.GetName()] = decode[corev1.Service](t, data)
		case "monitoring.coreos.com/v1 ServiceMonitor":
			o.monitors[r.GetName()] = decode[monitoringv1.ServiceMonitor](t, data)
		case "monitoring.coreos.com/v1 PrometheusRule":
			o.rules[r.GetName()] = decode[monitoringv1.PrometheusRule](t, data)
		default:
			t.Errorf("%s %s: nothing checks objects of this kind", kind, r.GetName())
		}
	}
	return o
}

func decode[T any](t *testing.T, data []byte) *T {
	t.Helper()
	v := new(T)
	if err := yaml.UnmarshalStrict(data, v); err != nil {
		t.Errorf("%v:\n%.500s", err, data)
	}
	stored, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored) > lastApplied {
		t.Errorf("%.80s...: has %d bytes, which `kubectl apply` refuses", data, len(stored))
	}
	return v
}

// subset says whether a selector selects labels; an empty one selects nothing here.
func subset(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

func TestKubernetesExporterAlone(t *testing.T) {
	if o := kustomize(t, "exporter"); len(o.deployments) != 1 || len(o.configMaps) != 1 {
		t.Errorf("%d deployments and %d ConfigMaps, want 1 of each", len(o.deployments), len(o.configMaps))
	}
}

func TestKubernetesExporters(t *testing.T) {
	for dir, tenants := range map[string]int{"base": 1, "overlays/two-tenants": 2} {
		t.Run(dir, func(t *testing.T) {
			o := kustomize(t, dir)
			if len(o.deployments) != tenants || len(o.services) != tenants || len(o.monitors) != tenants || len(o.claims) != tenants {
				t.Fatalf("%d deployments, %d services, %d service monitors, %d volumes; want %d of each",
					len(o.deployments), len(o.services), len(o.monitors), len(o.claims), tenants)
			}
			secrets := map[string]bool{}
			for name, d := range o.deployments {
				t.Run(name, func(t *testing.T) {
					checkPod(t, o, d)
					checkServices(t, o, d)
				})
				for _, v := range d.Spec.Template.Spec.Volumes {
					if v.Secret != nil {
						secrets[v.Secret.SecretName] = true
					}
				}
			}
			if len(secrets) != tenants {
				t.Errorf("the secrets of %d tenants are %v", tenants, slices.Collect(maps.Keys(secrets)))
			}
		})
	}
}

// checkPod checks what a deployment runs, and runs its command line on the
// files that its volumes hold.
func checkPod(t *testing.T, o objects, d *appsv1.Deployment) {
	t.Helper()
	if d.Spec.Replicas == nil || *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Error("want one replica and the strategy Recreate: two processes double the calls")
	}
	if !subset(d.Spec.Selector.MatchLabels, d.Spec.Template.Labels) {
		t.Errorf("the selector %v does not select the pod's labels %v", d.Spec.Selector.MatchLabels, d.Spec.Template.Labels)
	}
	pod := d.Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers, want 1", len(pod.Containers))
	}
	c := pod.Containers[0]

	// The restricted pod security standard.
	if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 ||
		s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || s.FSGroup == nil {
		t.Errorf("the pod's security context is not restricted: %+v", s)
	}
	if s := c.SecurityContext; s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
		s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("the container's security context is not restricted: %+v", s)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("the pod has a token of a service account, which it does not need")
	}

	if len(c.Ports) != 1 || c.Ports[0].ContainerPort != 10059 {
		t.Fatalf("ports %v, want 10059", c.Ports)
	}
	for path, p := range map[string]*corev1.Probe{"/-/healthy": c.LivenessProbe, "/-/ready": c.ReadinessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != path || p.HTTPGet.Port.StrVal != c.Ports[0].Name {
			t.Errorf("want a probe of %s on the port %s: %+v", path, c.Ports[0].Name, p)
		}
	}

	volumes := map[string]corev1.VolumeSource{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v.VolumeSource
	}
	root := t.TempDir()
	var config, secret, state string
	for _, m := range c.VolumeMounts {
		switch v := volumes[m.Name]; {
		case v.ConfigMap != nil:
			if o.configMaps[v.ConfigMap.Name] == nil {
				t.Fatalf("there is no ConfigMap %s", v.ConfigMap.Name)
			}
			config = o.configMaps[v.ConfigMap.Name].Data["config.yml"]
			defer func() {
				placeConfig(t, root, m.MountPath+"/config.yml", secret+"/app_secret", []byte(config))
				checkConfig(t, root, c.Args)
			}()
		case v.Secret != nil:
			secret = m.MountPath
			if m.SubPath != "" {
				t.Error("the secret is mounted by subPath: a new one would not reach the pod")
			}
			if mode := v.Secret.DefaultMode; mode == nil || *mode&0o007 != 0 {
				t.Error("the secret is readable by all")
			}
		case v.PersistentVolumeClaim != nil:
			state = m.MountPath
			if o.claims[v.PersistentVolumeClaim.ClaimName] == nil {
				t.Errorf("there is no claim %s", v.PersistentVolumeClaim.ClaimName)
			}
		default:
			t.Errorf("the mount %s has no volume", m.Name)
		}
	}
	if !slices.ContainsFunc(c.Args, func(f string) bool { return state != "" && strings.HasPrefix(f, "--state.file="+state+"/") }) {
		t.Errorf("the state of %v is not on the volume at %q", c.Args, state)
	}
}

// checkServices checks that exactly one Service and ServiceMonitor lead to a
// deployment, under the job that the rules know.
func checkServices(t *testing.T, o objects, d *appsv1.Deployment) {
	t.Helper()
	var found []string
	for name, s := range o.services {
		if !subset(s.Spec.Selector, d.Spec.Template.Labels) {
			continue
		}
		if p := s.Spec.Ports; len(p) != 1 || p[0].TargetPort.StrVal != d.Spec.Template.Spec.Containers[0].Ports[0].Name {
			t.Errorf("service %s: ports %v do not lead to the pod's", name, p)
		}
		for _, m := range o.monitors {
			if !subset(m.Spec.Selector.MatchLabels, s.Labels) {
				continue
			}
			found = append(found, m.Name)
			e := m.Spec.Endpoints
			if len(e) != 1 || e[0].Port != s.Spec.Ports[0].Name {
				t.Fatalf("service monitor %s: endpoints %v do not lead to the service's port", m.Name, e)
			}
			i := slices.IndexFunc(e[0].RelabelConfigs, func(r monitoringv1.RelabelConfig) bool { return r.TargetLabel == "job" })
			if i < 0 || e[0].RelabelConfigs[i].Replacement == nil || !bytes.Contains(read(t, "alerts/feishu-attendance.rules.yml"), []byte(`job="`+*e[0].RelabelConfigs[i].Replacement+`"`)) {
				t.Errorf("service monitor %s: the rules do not know its job", m.Name)
			}
		}
	}
	if len(found) != 1 {
		t.Errorf("the service monitors of the deployment are %v, want one", found)
	}
}

func TestKubernetesRulesAreThoseOfAlerts(t *testing.T) {
	made := t.TempDir()
	run(t, filepath.Join(repository, "deploy/kubernetes/generate"), made)
	for file, rules := range map[string]string{
		"prometheusrule.yaml":       "alerts/feishu-attendance.rules.yml",
		"prometheusrule.zh-CN.yaml": "alerts/feishu-attendance.rules.zh-CN.yml",
	} {
		committed := read(t, "deploy/kubernetes/monitoring/"+file)
		fresh, err := os.ReadFile(filepath.Join(made, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(committed, fresh) {
			t.Errorf("%s is out of date: run deploy/kubernetes/generate", file)
		}
		got := decode[monitoringv1.PrometheusRule](t, committed).Spec
		if want := decode[monitoringv1.PrometheusRuleSpec](t, read(t, rules)); !reflect.DeepEqual(got, *want) || len(got.Groups) == 0 {
			t.Errorf("%s does not hold the rules of %s", file, rules)
		}
	}
	if o := kustomize(t, "base"); len(o.rules) != 1 {
		t.Errorf("%d PrometheusRules in the base, want 1: a second language would fire each alert twice", len(o.rules))
	}
}

func TestKubernetesDashboards(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(repository, "dashboards/*.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range files {
		want[filepath.Base(f)] = string(read(t, "dashboards/"+filepath.Base(f)))
	}
	for _, dir := range []string{"base", "overlays/two-tenants"} {
		got := map[string]string{}
		for _, c := range kustomize(t, dir).configMaps {
			if c.Labels["grafana_dashboard"] != "" {
				maps.Copy(got, c.Data)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s has the dashboards %v, want each of dashboards/*.json", dir, slices.Sorted(maps.Keys(got)))
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Requests to the server of this page, and nowhere else; addresses are relative, so that they keep the token.

const base = new URL('.', document.baseURI);
let known = null;

export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== '') query.set(name, value);
  }
  const text = query.toString();
  return `${base.href}api/${path}${text ? `?${text}` : ''}`;
}

export async function get(path, parameters = {}, signal = undefined) {
  return answer(await fetch(address(path, parameters), {signal}));
}

export async function send(method, path, body, signal = undefined) {
  const isForm = body instanceof FormData;
  return answer(await fetch(address(path), {
    method, signal, body: isForm || body === undefined ? body : JSON.stringify(body),
    headers: isForm || body === undefined ? {} : {'Content-Type': 'application/json'},
  }));
}

async function answer(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  let detail = `the server answered ${response.status}`;
  try {
    const found = (await response.json()).detail;
    detail = Array.isArray(found) ? found.map((each) => each.msg).join('; ') : found ?? detail;
  } catch { /* The answer is no JSON; its status says enough. */ }
  throw new Error(detail);
}

// What the server shows; asked for once. `scored` are the runs on the classes by which patches are shown.
export function about() {
  known ??= get('about').then((found) => ({...found, scored: found.runs.filter(
    ({classes}) => classes === null || classes === found.classes.length)})).catch((error) => { known = null; throw error; });
  return known;
}

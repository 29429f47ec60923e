// The page is made of the document that the daemon makes of its own routes and
// types. It asks nobody but the daemon that served it.
'use strict';

const place = (id) => document.getElementById(id);
const keyField = place('key');
const stored = 'gaffer.key';

// make builds an element; what is not a node becomes text, so that nothing that is
// shown can be markup.
function make(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) e.setAttribute(name, value === true ? '' : value);
  }
  e.append(...children.filter((c) => c != null));
  return e;
}

let types = {};

function resolve(schema) {
  while (schema && schema.$ref) schema = types[schema.$ref.split('/').pop()];
  return schema || {};
}

// typeName is a schema in a few words.
function typeName(schema) {
  if (!schema) return '';
  if (schema.$ref) return schema.$ref.split('/').pop();
  if (schema.oneOf) return schema.oneOf.map(typeName).join(' or ');
  if (schema.type === 'array') return 'list of ' + typeName(schema.items);
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(' | ');
  if (schema.type === 'object' && schema.additionalProperties) return 'map of ' + typeName(schema.additionalProperties);
  return schema.format === 'date-time' ? 'time' : String(schema.type || 'anything');
}

// example is a body to begin with: what is required, and no more.
function example(schema) {
  schema = resolve(schema);
  if (schema.examples) return schema.examples[0];
  if (schema.enum) return schema.enum[0];
  if (schema.oneOf) return example(schema.oneOf[0]);
  switch (schema.type) {
    case 'object': {
      const out = {};
      for (const name of schema.required || []) out[name] = example(schema.properties[name]);
      return out;
    }
    case 'array': return [];
    case 'integer': case 'number': return 0;
    case 'boolean': return false;
  }
  return '';
}

function field(p, first) {
  const id = first + '-' + p.name;
  const schema = resolve(p.schema);
  const input = schema.type === 'boolean'
    ? make('select', { id, name: p.name }, make('option', { value: '' }, ''), make('option', {}, 'true'), make('option', {}, 'false'))
    : make('input', { id, name: p.name, spellcheck: 'false', autocomplete: 'off', required: !!p.required });
  input.dataset.in = p.in;
  return make('div', { class: 'field' },
    make('label', { for: id, class: p.required ? 'needed' : false }, p.name), input,
    p.description ? make('small', {}, p.description) : null);
}

// quote makes a word that a shell takes as it is.
const quote = (s) => (/^[\w@%+=:,./-]+$/.test(s) ? s : "'" + s.replaceAll("'", "'\\''") + "'");

// gather is the request that the fields say.
function gather(form, method, path) {
  const query = new URLSearchParams();
  for (const e of form.querySelectorAll('[data-in]')) {
    const value = e.value.trim();
    if (e.dataset.in === 'path') path = path.replace('{' + e.name + '}', encodeURIComponent(value));
    else if (value) query.append(e.name, value);
  }
  const body = form.querySelector('textarea');
  const accept = form.querySelector('select.accept');
  const headers = {};
  if (accept) headers.Accept = accept.value;
  if (body && body.value.trim()) headers['Content-Type'] = body.dataset.type;
  if (keyField.value.trim()) headers.Authorization = 'Bearer ' + keyField.value.trim();
  const url = path + (query.size ? '?' + query : '');
  return { method, url, headers, body: body && body.value.trim() ? body.value : undefined };
}

function curl(request) {
  const words = ['curl', '-sN'];
  if (request.method !== 'GET') words.push('-X', request.method);
  for (const [name, value] of Object.entries(request.headers)) {
    words.push('-H', name === 'Authorization' ? '"Authorization: Bearer $GAFFER_KEY"' : quote(name + ': ' + value));
  }
  if (request.body) words.push('--data-binary', quote(request.body));
  words.push(quote(location.origin + request.url));
  return words.join(' ');
}

// pretty lays JSON out, and leaves the rest as it is.
function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

const mostShown = 200000; // characters of an answer

async function send(request, out, stop) {
  const status = make('span', { class: 'status' }, 'asking…');
  const body = make('pre', { tabindex: '0' });
  out.replaceChildren(make('p', { class: 'quiet' }, curl(request)), make('p', {}, status), body);
  const began = performance.now();
  try {
    const answer = await fetch(request.url, { ...request, signal: stop.signal, cache: 'no-store', credentials: 'omit' });
    status.textContent = answer.status + ' ' + answer.statusText;
    status.classList.add(answer.ok ? 'good' : 'bad');
    const kind = answer.headers.get('Content-Type') || '';
    const reader = answer.body && answer.body.getReader();
    const decoder = new TextDecoder();
    let text = '';
    while (reader) {
      const { done, value } = await reader.read();
      if (done) break;
      text = (text + decoder.decode(value, { stream: true })).slice(-mostShown);
      body.textContent = text;
      body.scrollTop = body.scrollHeight;
    }
    if (kind.includes('json') && !kind.includes('ndjson')) body.textContent = pretty(text);
    status.textContent += ' · ' + Math.round(performance.now() - began) + ' ms' + (kind ? ' · ' + kind : '');
    if (!body.textContent) body.remove();
  } catch (e) {
    if (stop.signal.aborted) {
      status.textContent += ' · stopped';
      return;
    }
    status.textContent = String(e);
    status.classList.add('bad');
  }
}

// attach opens a WebSocket: lines of input go in, output comes out.
function attach(request, out, stop) {
  const status = make('span', { class: 'status' }, 'connecting…');
  const body = make('pre', { tabindex: '0' });
  const input = make('input', { placeholder: 'a line for stdin, then Enter', 'aria-label': 'input' });
  out.replaceChildren(make('p', {}, status), body, input);
  const key = keyField.value.trim();
  const url = new URL(request.url, location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const socket = new WebSocket(url, key ? ['gaffer.v1', 'gaffer.key.' + key] : ['gaffer.v1']);
  const show = (text) => {
    body.textContent = (body.textContent + text).slice(-mostShown);
    body.scrollTop = body.scrollHeight;
  };
  socket.addEventListener('open', () => { status.textContent = 'open'; input.focus(); });
  socket.addEventListener('message', (m) => {
    const r = JSON.parse(m.data);
    if (r.base64 !== undefined) show(new TextDecoder().decode(Uint8Array.from(atob(r.base64), (c) => c.charCodeAt(0))));
    else show(r.data !== undefined ? r.data : '\n' + m.data + '\n');
  });
  return new Promise((ended) => {
    socket.addEventListener('close', (e) => { status.textContent = 'closed ' + e.code + ' ' + e.reason; ended(); });
    stop.signal.addEventListener('abort', () => socket.close(1000));
    input.addEventListener('keydown', (e) => {
      if (e.key !== 'Enter' || socket.readyState !== WebSocket.OPEN) return;
      socket.send(new TextEncoder().encode(input.value + '\n'));
      input.value = '';
    });
  });
}

function bodyField(op) {
  if (!op.requestBody) return null;
  const [[type, media]] = Object.entries(op.requestBody.content);
  const text = make('textarea', { spellcheck: 'false', 'aria-label': 'body', 'data-type': type });
  if (media.schema && op.requestBody.required) text.value = JSON.stringify(example(media.schema), null, 2);
  return make('div', { class: 'field' },
    make('label', { class: op.requestBody.required ? 'needed' : false }, 'body'), text,
    make('small', {}, media.schema ? typeName(media.schema) : type));
}

function acceptField(op) {
  const ok = Object.entries(op.responses).find(([status]) => status.startsWith('2'));
  const kinds = ok && ok[1].content ? Object.keys(ok[1].content).sort().reverse() : [];
  if (kinds.length < 2) return null;
  return make('select', { class: 'accept', 'aria-label': 'format' }, ...kinds.map((k) => make('option', {}, k)));
}

function operation(method, path, op) {
  const form = make('form', { class: 'inside' });
  const out = make('div', {});
  const go = make('button', { type: 'submit' }, 'Send');
  const halt = make('button', { type: 'button', class: 'plain', disabled: true }, 'Stop');
  const ok = op.responses['200'] || op.responses['201'];
  const gives = ok && ok.content && ok.content['application/json'];
  form.append(make('p', {}, op.description || ''),
    ...(op.parameters || []).map((p) => field(p, op.operationId)), ...[bodyField(op)].filter(Boolean),
    make('div', { class: 'row' }, go, halt, acceptField(op), gives ? make('span', { class: 'quiet' }, 'answers ' + typeName(gives.schema)) : null), out);
  let stop;
  halt.addEventListener('click', () => stop && stop.abort());
  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    stop = new AbortController();
    go.disabled = true;
    halt.disabled = false;
    const request = gather(form, method, path);
    await (op.operationId === 'attach' ? attach : send)(request, out, stop);
    go.disabled = false;
    halt.disabled = true;
  });
  const box = make('details', { class: 'operation', id: op.operationId },
    make('summary', {}, make('span', { class: 'method ' + method }, method), make('span', { class: 'path' }, path),
      make('span', { class: 'what' }, op.summary), make('span', { class: 'role' }, op['x-role'] || '')), form);
  box.dataset.text = [method, path, op.summary, op.operationId].join(' ').toLowerCase();
  return box;
}

function schemaRow(name, schema, required) {
  return make('tr', {}, make('td', {}, make('code', { class: required ? 'needed' : false }, name)),
    make('td', {}, make('code', {}, typeName(schema))), make('td', {}, schema.description || resolve(schema).description || ''));
}

function showTypes() {
  const section = place('schemas');
  for (const [name, schema] of Object.entries(types)) {
    if (!schema.properties) continue;
    section.append(make('details', {}, make('summary', {}, name),
      make('table', {}, ...Object.entries(schema.properties).map(([n, s]) => schemaRow(n, s, (schema.required || []).includes(n))))));
  }
  section.hidden = false;
}

function find() {
  const text = place('find').value.trim().toLowerCase();
  for (const section of document.querySelectorAll('main section')) {
    let any = false;
    for (const box of section.querySelectorAll('.operation')) {
      box.hidden = !box.dataset.text.includes(text);
      any = any || !box.hidden;
    }
    section.hidden = !any;
  }
}

async function begin() {
  keyField.value = sessionStorage.getItem(stored) || '';
  keyField.addEventListener('input', () => sessionStorage.setItem(stored, keyField.value.trim()));
  place('access').addEventListener('submit', (e) => e.preventDefault());
  place('find').addEventListener('input', find);
  const doc = await (await fetch('/v1/openapi.json')).json();
  types = doc.components.schemas;
  place('about').textContent = doc.info.description;
  for (const tag of doc.tags) {
    const section = make('section', {}, make('h2', {}, tag.name, make('small', {}, tag.description)));
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const [method, op] of Object.entries(item)) {
        if (op.tags && op.tags.includes(tag.name)) section.append(operation(method.toUpperCase(), path, op));
      }
    }
    place('operations').append(section);
  }
  showTypes();
  const wanted = location.hash && document.querySelector(CSS.escape ? '#' + CSS.escape(location.hash.slice(1)) : location.hash);
  if (wanted) {
    wanted.open = true;
    wanted.scrollIntoView();
  }
}

begin().catch((e) => place('operations').append(make('p', { class: 'bad' }, String(e))));

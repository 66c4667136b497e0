"use strict";
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById("payload").textContent), (sign) => sign.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const payload = await new Response(unpacked).json();
  const root = document.documentElement;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const darkSystem = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : darkSystem.matches);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // ---- figures -------------------------------------------------------------------------------------------------
  // Colours of the light page become those of the dark one; long lists of numbers are passed through.
  const swap = (value) => {
    if (typeof value === "string") {
      if (payload.dark[value]) return payload.dark[value];
      return value.includes("style='color:") ? value.replace(/#[0-9a-f]{6}/g, (c) => payload.dark[c] || c) : value;
    }
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(swap);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, swap(v)]));
    return value;
  };

  // A row's label is cut where the screen ends; its remark, a count, stays.
  const SIGN = 5.7;
  const shorten = (note, width) => {
    const [main, remark] = note.text.split("  <span");
    const rest = remark ? 2 + remark.replace(/<[^>]*>|^[^>]*>/g, "").length : 0;
    const room = Math.floor((width - 26) / SIGN) - rest;
    const signs = [...plain(main)];
    if (signs.length <= room) return note;
    const kept = signs.slice(0, Math.max(room - 1, 8)).join("").trimEnd();
    const safe = kept.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
    return { ...note, text: `${safe}…${remark ? `  <span${remark}` : ""}` };
  };

  // Panels side by side stand below one another on a phone.
  const stack = (layout, panels) => {
    const each = layout.height, { t, b } = layout.margin;
    const room = panels * each - t - b;
    const stacked = { ...layout, height: panels * each };
    for (let i = 0; i < panels; i += 1) {
      const id = i ? i + 1 : "";
      const top = 1 - (i * each) / room;
      stacked[`xaxis${id}`] = { ...layout[`xaxis${id}`], domain: [0, 1] };
      stacked[`yaxis${id}`] = { ...layout[`yaxis${id}`], domain: [Math.max(0, top - (each - t - b) / room), top], title: layout.yaxis.title };
    }
    return stacked;
  };

  // The dots of a combination take a fixed width, so that the values keep room on a phone.
  const fit = (layout, width) => {
    if (width && layout.annotations) {
      layout = { ...layout, annotations: layout.annotations.map((note) => (note.name === "row" ? shorten(note, width) : note)) };
    }
    if (width <= 560 && layout.meta && layout.meta.panels > 1) return stack(layout, layout.meta.panels);
    const columns = layout.meta && layout.meta.matrix;
    if (!columns || !width) return layout;
    const room = width - layout.margin.l - layout.margin.r;
    const was = layout.xaxis.domain[1];
    const now = Math.min(columns * 24, room * 0.34) / room;
    const moved = (x) => now + ((x - was) * (1 - now)) / (1 - was);
    const fitted = { ...layout, xaxis: { ...layout.xaxis, domain: [0, now] } };
    for (const key of Object.keys(layout).filter((name) => /^xaxis[2-9]$/.test(name))) {
      fitted[key] = { ...layout[key], domain: layout[key].domain.map(moved), ...(width <= 560 ? { nticks: 4 } : {}) };
    }
    return fitted;
  };

  class Plate {
    constructor(element) {
      this.element = element;
      this.spec = payload.plates[element.dataset.plate];
      this.plot = element.querySelector(".plot");
      this.view = this.spec.views[0];
      this.pressed = new Map(); // series that the reader hid or showed
      this.drawn = false;
      this.step = Math.max(0, this.view.names.length - 1);
      for (const list of all("[data-choice]", element)) list.addEventListener("change", () => this.choose());
      for (const button of all("[data-save]", element)) button.addEventListener("click", () => this.save(button.dataset.save));
      const data = element.querySelector("details.data");
      data.addEventListener("toggle", () => data.open && this.table());
      this.slider = element.querySelector("input[type=range]");
      if (this.slider) {
        this.play = element.querySelector(".play");
        this.slider.addEventListener("input", () => { this.stop(); this.go(Number(this.slider.value)); });
        this.play.addEventListener("click", () => (this.timer ? this.stop() : this.start()));
        this.label();
      }
      this.legend();
      this.narrow();
    }
    // Values that lead nowhere, given the earlier lists, cannot be chosen.
    narrow() {
      const lists = all("[data-choice]", this.element);
      lists.forEach((list, order) => {
        if (!order) return;
        const before = lists.slice(0, order).map((item) => [Number(item.dataset.choice), item.value]);
        const place = Number(list.dataset.choice);
        const open = new Set(this.spec.views.filter((v) => before.every(([i, value]) => v.choice[i] === value)).map((v) => v.choice[place]));
        for (const option of list.options) option.disabled = option.hidden = !open.has(option.value);
        if (!open.has(list.value)) list.value = [...open][0];
      });
    }
    choose() {
      this.stop();
      this.narrow();
      const wanted = all("[data-choice]", this.element).map((list) => [Number(list.dataset.choice), list.value]);
      this.view = this.spec.views.find((v) => wanted.every(([i, value]) => v.choice[i] === value)) || this.view;
      this.element.querySelector(".reading").innerHTML = this.view.reading;
      if (this.slider) {
        this.slider.max = this.view.names.length - 1;
        this.step = this.view.names.length - 1;
        this.slider.value = this.step;
        this.label();
      }
      this.legend();
      this.draw();
      if (this.element.querySelector("details.data").open) this.table();
    }
    // What the reader did to a series holds in every view; until then a view decides for itself.
    hides(trace) {
      const key = trace.legendgroup || trace.name;
      return this.pressed.has(key) ? this.pressed.get(key) : trace.visible === "legendonly";
    }
    data(dark) {
      const frame = this.view.frames[this.step];
      return this.view.data.map((trace, i) => ({
        ...(dark ? swap(trace) : trace), ...(frame ? frame[i] : {}),
        visible: this.hides(trace) ? "legendonly" : true,
      }));
    }
    draw(width) {
      const dark = isDark() && !width;
      const layout = fit(dark ? swap(this.view.layout) : this.view.layout, width || this.plot.clientWidth);
      const size = width ? { width } : { autosize: true };
      this.plot.style.height = `${layout.height || 360}px`;
      Plotly.react(this.plot, this.data(dark), { ...layout, ...size, template: payload.themes[dark ? "dark" : "light"] },
        { displayModeBar: false, responsive: false, doubleClick: false });
      this.drawn = true;
    }
    legend() {
      const box = this.element.querySelector(".legend");
      const seen = new Map();
      for (const trace of this.view.data) {
        const key = trace.legendgroup || trace.name;
        if (key && trace.showlegend !== false && trace.type === "scatter" && !seen.has(key)) seen.set(key, trace);
      }
      box.replaceChildren();
      box.hidden = seen.size < 2 && ![...seen.values()].some((t) => (t.marker || {}).symbol === "line-ns");
      for (const [key, trace] of seen) {
        const button = document.createElement("button");
        button.type = "button";
        button.innerHTML = swatch(isDark() ? swap(trace) : trace);
        button.append(plain(trace.name));
        button.setAttribute("aria-pressed", String(!this.hides(trace)));
        button.addEventListener("click", () => {
          this.pressed.set(key, !this.hides(trace));
          button.setAttribute("aria-pressed", String(!this.hides(trace)));
          this.draw();
        });
        box.append(button);
      }
    }
    label() {
      const name = this.view.names[this.step];
      this.element.querySelector("output").textContent = name;
      this.slider.setAttribute("aria-valuetext", name);
    }
    go(step) {
      this.step = step;
      this.slider.value = step;
      this.label();
      if (!this.drawn) return this.draw();
      const traces = this.view.data.map((_, i) => i);
      const move = calm.matches ? 0 : 450;
      return Plotly.animate(this.plot, { data: this.view.frames[step], traces },
        { mode: "immediate", transition: { duration: move, easing: "cubic-in-out" }, frame: { duration: move, redraw: false } }).catch(() => {});
    }
    start() {
      this.play.textContent = "Pause";
      this.play.setAttribute("aria-label", "Pause");
      if (this.step >= this.view.names.length - 1) this.go(0);
      this.timer = setInterval(() => {
        if (this.step >= this.view.names.length - 1) return this.stop();
        return this.go(this.step + 1);
      }, 900);
    }
    stop() {
      if (!this.timer) return;
      clearInterval(this.timer);
      this.timer = null;
      this.play.textContent = "Play";
      this.play.setAttribute("aria-label", "Play the epochs");
    }
    async save(kind) {
      const name = [this.spec.key, ...this.view.choice].join("_").replace(/[^A-Za-z0-9]+/g, "_");
      if (kind === "csv") return download(`${name}.csv`, new Blob([this.view.csv], { type: "text/csv" }));
      const width = 900;
      const base = fit(this.view.layout, width);
      const layout = { ...base, template: payload.themes.light, paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", width,
        showlegend: true, legend: { orientation: "h", x: 0, y: -60 / (base.height || 360), yanchor: "top" },
        margin: { ...payload.themes.light.layout.margin, ...base.margin, b: ((base.margin || {}).b || 44) + 50 }, height: (base.height || 360) + 50 };
      const url = await Plotly.toImage({ data: this.data(false), layout }, { format: kind, width, height: layout.height, scale: kind === "png" ? 3 : 1 });
      return save(`${name}.${kind}`, url);
    }
    table() {
      const rows = parse(this.view.csv);
      const most = 300;
      const box = this.element.querySelector("details.data .scroll");
      const table = document.createElement("table");
      const line = (cells, tag) => {
        const tr = document.createElement("tr");
        for (const text of cells) {
          const cell = document.createElement(tag);
          if (tag === "th") cell.scope = "col";
          cell.textContent = text;
          tr.append(cell);
        }
        return tr;
      };
      const head = document.createElement("thead");
      head.append(line(rows[0], "th"));
      const body = document.createElement("tbody");
      body.append(...rows.slice(1, most + 1).map((row) => line(row, "td")));
      table.append(head, body);
      box.replaceChildren(table);
      if (rows.length - 1 > most) {
        const rest = document.createElement("p");
        rest.className = "note";
        rest.textContent = `The first ${most} of ${rows.length - 1} rows; the CSV has them all.`;
        box.append(rest);
      }
    }
  }

  // Plotly's names are escaped for its own reading; here they are plain text.
  const plain = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

  const SHAPES = {
    circle: '<circle cx="7" cy="7" r="4.4"/>', square: '<rect x="3" y="3" width="8" height="8"/>',
    diamond: '<path d="M7 1.8 12.2 7 7 12.2 1.8 7Z"/>', "triangle-up": '<path d="M7 2 12.2 11.4H1.8Z"/>',
    x: '<path d="M2.6 4.6 4.6 2.6 7 5 9.4 2.6 11.4 4.6 9 7 11.4 9.4 9.4 11.4 7 9 4.6 11.4 2.6 9.4 5 7Z"/>',
    cross: '<path d="M5.4 2h3.2v3.4H12v3.2H8.6V12H5.4V8.6H2V5.4h3.4Z"/>',
    star: '<path d="M7 1.2 8.6 5.4 13 5.6 9.6 8.4 10.8 12.8 7 10.3 3.2 12.8 4.4 8.4 1 5.6 5.4 5.4Z"/>',
    hexagon: '<path d="M7 1.8 11.6 4.4V9.6L7 12.2 2.4 9.6V4.4Z"/>', pentagon: '<path d="M7 1.6 12.2 5.4 10.2 11.6H3.8L1.8 5.4Z"/>',
    "line-ns": '<path d="M6.2 1h1.6v12H6.2Z"/>',
  };
  function swatch(trace) {
    const marker = trace.marker || {}, line = trace.line || {};
    const symbol = marker.symbol || "circle", named = marker.color || line.color;
    const colour = /^#[0-9a-fA-F]{6}$/.test(named) ? named : "currentColor";
    const open = symbol.endsWith("-open");
    const bare = trace.mode === "lines", dashed = line.dash === "dash";
    const rule = `<path d="M-4 7H18" stroke="${colour}" stroke-width="1.6"${dashed ? ' stroke-dasharray="4 2.5"' : ""}/>`;
    const shape = (bare || dashed ? rule : "") + (bare ? "" : SHAPES[symbol.replace("-open", "")] || SHAPES.circle);
    const box = bare || dashed ? 'width="22" height="14" viewBox="-4 0 22 14"' : 'width="14" height="14" viewBox="0 0 14 14"';
    const paint = open ? `fill="none" stroke="${colour}" stroke-width="1.5"` : `fill="${colour}"`;
    return `<svg ${box} aria-hidden="true" focusable="false" ${paint}>${shape}</svg>`;
  }

  // ---- files ---------------------------------------------------------------------------------------------------
  function save(name, url) {
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
  }
  function download(name, blob) {
    const url = URL.createObjectURL(blob);
    save(name, url);
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
  function parse(text) {
    const rows = [[]];
    let cell = "", quoted = false;
    for (let i = 0; i < text.length; i += 1) {
      const sign = text[i];
      if (quoted) {
        if (sign !== '"') cell += sign;
        else if (text[i + 1] === '"') { cell += '"'; i += 1; } else quoted = false;
      } else if (sign === '"') quoted = true;
      else if (sign === ",") { rows.at(-1).push(cell); cell = ""; }
      else if (sign === "\n") { rows.at(-1).push(cell); cell = ""; rows.push([]); }
      else if (sign !== "\r") cell += sign;
    }
    if (cell || rows.at(-1).length) rows.at(-1).push(cell);
    return rows.filter((row) => row.length);
  }

  // The lines of a CSV, each with the line breaks that its quotes hold.
  function records(text) {
    const whole = [];
    let open = false;
    for (const line of text.replace(/\n$/, "").split("\n")) {
      if (open) whole[whole.length - 1] += `\n${line}`;
      else whole.push(line);
      if ((line.split('"').length - 1) % 2) open = !open;
    }
    return whole;
  }

  // ---- tables --------------------------------------------------------------------------------------------------
  for (const block of all("[data-table]")) {
    const body = block.querySelector("tbody");
    const rows = [...body.rows];
    const spec = payload.tables[block.dataset.table];
    const filters = all("[data-filter]", block);
    const words = block.querySelector("[data-words]");
    const heads = block.querySelector("thead tr:last-child");
    const always = new Set([...heads.cells].flatMap((cell, index) => (cell.hidden ? [index] : [])));
    const value = (row, index) => row.cells[index].dataset.value ?? row.cells[index].textContent.trim();
    // Texts of every row; the last of a very long table are not on the page.
    const texts = [...rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim())), ...spec.rest];
    const kept = texts.map(() => true);
    const filter = () => {
      const wanted = (words ? words.value : "").toLowerCase().split(/[\s+]+/).filter(Boolean);
      texts.forEach((cells, place) => {
        const fits = filters.every((list) => !list.value || cells[list.dataset.filter] === list.value);
        const text = wanted.length ? cells.join(" ").toLowerCase() : "";
        kept[place] = fits && wanted.every((word) => text.includes(word));
        if (place < rows.length) rows[place].hidden = !kept[place];
      });
      // A column that a list has narrowed to one value says nothing more.
      for (const list of filters) {
        const index = Number(list.dataset.filter);
        if (always.has(index)) continue;
        for (const row of [heads, ...rows]) row.cells[index].hidden = list.value !== "";
      }
      if (filters.length || words) block.querySelector(".shown").textContent = `${kept.filter(Boolean).length} of ${kept.length} rows, here and in the files`;
    };
    // What is saved are the rows that the lists and words leave; those of a CSV in its own order, those of LaTeX as shown.
    const files = {
      csv: () => {
        const [head, ...lines] = records(spec.csv);
        return [head, ...lines.filter((_, line) => kept[spec.of ? spec.of[line] : line] ?? true), ""].join("\n");
      },
      tex: () => {
        const places = [...body.rows].map((row) => rows.indexOf(row));
        const order = [...places, ...spec.rest.map((_, place) => rows.length + place)].filter((place) => kept[place]);
        return spec.latex.map((part) => `${[part.head, ...order.map((place) => part.rows[place]), part.foot].join("\n")}\n`).join("\n");
      },
    };
    for (const list of filters) list.addEventListener("change", filter);
    if (words) words.addEventListener("input", filter);
    for (const button of all("[data-sort]", block)) {
      button.addEventListener("click", () => {
        const head = button.closest("th");
        const index = Number(button.dataset.sort);
        const numeric = "numeric" in button.dataset;
        const down = head.hasAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numeric;
        for (const other of all("th", block)) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        // Cells without a value stay at the end whichever way the column is sorted.
        const known = (row) => value(row, index) !== "" && value(row, index) !== "–";
        body.append(...[...rows].sort((a, b) => {
          if (known(a) !== known(b)) return known(a) ? -1 : 1;
          const order = numeric ? parseFloat(value(a, index)) - parseFloat(value(b, index)) : value(a, index).localeCompare(value(b, index));
          return (down ? -1 : 1) * (order || 0);
        }));
      });
    }
    for (const button of all("[data-save]", block)) {
      const kind = button.dataset.save;
      button.addEventListener("click", () => download(`${block.dataset.table}.${kind}`, new Blob([files[kind]()], { type: "text/plain" })));
    }
    filter();
  }

  // ---- scrolling boxes: a dark edge where there is more ---------------------------------------------------------
  const mark = (frame) => {
    const box = frame.firstElementChild;
    const more = { up: box.scrollTop, left: box.scrollLeft,
      down: box.scrollHeight - box.clientHeight - box.scrollTop, right: box.scrollWidth - box.clientWidth - box.scrollLeft };
    for (const [side, pixels] of Object.entries(more)) frame.classList.toggle(side, pixels > 1);
  };
  const sized = new ResizeObserver((entries) => { for (const entry of entries) mark(entry.target.closest(".edges")); });
  for (const box of all(".scroll, pre, .toc ol")) {
    const frame = document.createElement("div");
    frame.className = "edges";
    box.replaceWith(frame);
    frame.append(box);
    box.addEventListener("scroll", () => mark(frame), { passive: true });
    for (const item of [box, ...box.children]) sized.observe(item);
  }

  // ---- page ----------------------------------------------------------------------------------------------------
  const figures = all("[data-plate]").map((element) => new Plate(element));
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      const plate = figures.find((item) => item.element === entry.target);
      if (plate && !plate.drawn) plate.draw();
    }
  }, { rootMargin: "800px" });
  for (const plate of figures) near.observe(plate.element);
  const redraw = () => { for (const plate of figures) { plate.legend(); if (plate.drawn) plate.draw(); } };

  const toggle = document.querySelector(".theme");
  const show = () => {
    toggle.textContent = isDark() ? "Light page" : "Dark page";
    toggle.setAttribute("aria-pressed", String(isDark()));
  };
  toggle.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; show(); redraw(); });
  darkSystem.addEventListener("change", () => { show(); redraw(); });
  show();

  let width = innerWidth, waiting = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 150);
  });
  addEventListener("beforeprint", () => { for (const plate of figures) plate.draw(680); });
  addEventListener("afterprint", () => { for (const plate of figures) plate.draw(); });

  // Every heading leads to itself, so that its address can be copied.
  for (const heading of all("h2[id], h3[id]:not(summary h3)")) {
    const link = document.createElement("a");
    const section = heading.closest("[data-plate], [data-table]") || (heading.matches("h2") && heading.closest("section[id]"));
    link.href = `#${(section || heading).id}`;
    link.className = "here";
    link.append(...heading.childNodes);
    heading.append(link);
  }

  const links = new Map(all(".toc a").map((link) => [link.hash.slice(1), link]));
  const reading = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      if (link) link.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  for (const section of all("section.chapter")) reading.observe(section);
  root.dataset.ready = "";
})();

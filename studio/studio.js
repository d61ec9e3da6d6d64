// What the page does without the server. Each function belongs to one gr.HTML of app.py, which calls it once when it is
// on the page: element is its DOM, props its value and properties, watch(name, f) calls f after the server changed one.
window.studio = {
  // Rows of sliders; the value is {name: number}. Dragging only repaints; letting go, or a key, changes the value.
  faders(element, props, watch) {
    const paint = (input) => {
      const { min, max, value } = input;
      input.style.setProperty("--at", (value - min) / (max - min));
      const text = `${Math.round(100 * value)}`;
      element.querySelector(`output[for="${input.id}"]`).textContent = text;
      input.setAttribute("aria-valuetext", `${text} percent`);
      input.closest(".fader").classList.toggle("off", value <= min);
    };
    const show = () => {
      for (const input of element.querySelectorAll("input")) {
        input.value = props.value[input.name] ?? input.min;
        paint(input);
      }
    };
    element.addEventListener("input", (event) => paint(event.target));
    element.addEventListener("change", (event) => {
      props.value = { ...props.value, [event.target.name]: Number(event.target.value) };
    });
    watch("value", show);
    show();
  },

  // The sketch, and the photograph over its left part up to a handle.
  comparison(element, props, watch) {
    const [paper, handle] = [element.querySelector(".paper"), element.querySelector("input")];
    const slide = () => paper.style.setProperty("--at", `${handle.value}%`);
    const show = () => {
      const { photo, sketch, alt, title, caption, note, width, height, model_ms } = props.value;
      Object.assign(element.querySelector("img.sketch"), { src: sketch, alt });
      Object.assign(element.querySelector("img.photo"), { src: photo, alt: `Photograph: ${title}` });
      element.querySelector(".title").textContent = title;
      element.querySelector(".blend").textContent = caption;
      element.querySelector(".note").textContent = note;
      paper.style.setProperty("--ratio", width / height);
      paper.parentElement.dataset.modelMs = model_ms; // for benchmarks/page.py
    };
    handle.addEventListener("input", slide);
    watch("value", show);
    slide();
    show();
  },

  // Pictures to choose from: each button carries its choice as JSON.
  picker(element, picked) {
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-choice]");
      if (button) picked({ choice: JSON.parse(button.dataset.choice) });
    });
  },

  // A field with the link of the current blend; the server only knows what comes after the question mark.
  link(element, props, watch) {
    const [field, button] = [element.querySelector("input"), element.querySelector("button")];
    const show = () => (field.value = `${location.origin}${location.pathname}?${props.value}`);
    button.addEventListener("click", async () => {
      field.select();
      // the clipboard interface needs https or localhost; the old command works everywhere
      const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
      button.textContent = copied || document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
      setTimeout(() => (button.textContent = "Copy link"), 2000);
    });
    watch("value", show);
    show();
  },

  // A button that asks the server for a file and saves what comes back as {data, name}.
  download(element, props, watch, clicked) {
    element.querySelector("button").addEventListener("click", clicked);
    watch("value", () => {
      if (props.value.data) Object.assign(document.createElement("a"), { href: props.value.data, download: props.value.name }).click();
    });
  },
};

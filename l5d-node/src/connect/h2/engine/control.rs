//! Frames that carry nothing of a message: settings, windows, ends.

use h2::Reason;

use super::Fail;
use super::core::Core;
use super::frame::{self, Header};

impl Core {
    pub(super) fn settings(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        let is_ack = header.flags & frame::ACK != 0;
        if header.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if !payload.len().is_multiple_of(6) || is_ack && !payload.is_empty() {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if is_ack {
            return Ok(());
        }
        // Until it says otherwise there is no limit.
        self.peer.max_streams.get_or_insert(usize::MAX);
        for setting in payload.chunks_exact(6) {
            let id = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            match id {
                frame::ENABLE_PUSH if value > 0 => return Err(Reason::PROTOCOL_ERROR),
                frame::MAX_STREAMS => self.peer.max_streams = Some(value as usize),
                frame::INITIAL_WINDOW => self.initial_window(value)?,
                frame::FRAME_SIZE => {
                    if !(frame::MAX_FRAME as u32..1 << 24).contains(&value) {
                        return Err(Reason::PROTOCOL_ERROR);
                    }
                    self.peer.max_frame = value as usize;
                }
                _ => {}
            }
        }
        self.wake_openers();
        self.put(frame::SETTINGS, frame::ACK, 0, &[]);
        Ok(())
    }

    fn initial_window(&mut self, value: u32) -> Result<(), Reason> {
        let value = i64::from(value);
        if value > frame::MAX_WINDOW {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        let change = value - self.peer.window;
        self.peer.window = value;
        for state in self.streams.values_mut() {
            state.window += change;
            if state.window > frame::MAX_WINDOW {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
            if change > 0 {
                state.wake();
            }
        }
        Ok(())
    }

    pub(super) fn window_update(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        let bytes = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        let more = i64::from(u32::from_be_bytes(bytes) & 0x7fff_ffff);
        if header.stream == 0 {
            self.window += more;
            if more == 0 {
                return Err(Reason::PROTOCOL_ERROR);
            }
            if self.window > frame::MAX_WINDOW {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
            self.wake_blocked();
            return Ok(());
        }
        self.check_id(header.stream)?;
        let Some(state) = self.streams.get_mut(&header.stream) else {
            return Ok(());
        };
        state.window += more;
        if more == 0 {
            self.refuse(header.stream, Reason::PROTOCOL_ERROR);
        } else if state.window > frame::MAX_WINDOW {
            self.refuse(header.stream, Reason::FLOW_CONTROL_ERROR);
        } else {
            state.wake();
        }
        Ok(())
    }

    pub(super) fn reset(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        self.check_id(header.stream)?;
        let bytes = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        let reason = Reason::from(u32::from_be_bytes(bytes));
        if let Some(state) = self.streams.get_mut(&header.stream) {
            state.fail(Fail::Reset(reason), &mut self.open);
        }
        self.wake_openers();
        Ok(())
    }

    pub(super) fn goaway(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        if header.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let bytes = payload.first_chunk().ok_or(Reason::FRAME_SIZE_ERROR)?;
        let last = u32::from_be_bytes(*bytes) & 0x7fff_ffff;
        // It may come again, with less.
        let last = self.last.map_or(last, |earlier| earlier.min(last));
        self.last = Some(last);
        for (_, state) in self.streams.iter_mut().filter(|(id, _)| **id > last) {
            state.fail(Fail::Unseen, &mut self.open);
        }
        self.wake_openers();
        Ok(())
    }

    pub(super) fn ping(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        if header.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if payload.len() != 8 {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        match header.flags & frame::ACK {
            0 => self.put(frame::PING, frame::ACK, 0, payload),
            _ => self.has_pong = true,
        }
        Ok(())
    }
}
